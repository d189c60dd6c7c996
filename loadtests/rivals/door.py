"""One process of a rival: takes checkouts over HTTP, like the shop, and passes them to its engine.
`python -m loadtests.rivals.door ENGINE PORT [SERVER]`, in the rivals' environment, with
RIVAL_DATABASE_URL for its tables.

One process per core shares the port. It speaks only the HTTP that the load generator needs
(loadtests/load/client.py), so that a rival's figures are of its engine, not of a web framework. It
answers 202 and the `saga_id` once the checkout can't be lost.
"""

import asyncio
import json
import os
import sys
import uuid
from importlib import import_module
from typing import Any, Protocol

from loadtests.rivals.saga import Checkout

HOST = "127.0.0.1"
READY = "ready"
"""Printed on a line of its own once it takes checkouts."""


class Engine(Protocol):
    """`start`: returns once the checkout can't be lost. `running`: counts open checkouts."""

    async def open(self) -> None: ...

    async def start(self, asked: Checkout) -> None: ...

    async def running(self) -> int: ...


class EngineServer:
    def __init__(self, *, engine: Engine) -> None:
        self._engine = engine

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the other side closes it."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_length(head))
                status, answer = await self._answered(head, body)
                body = json.dumps(answer).encode()
                writer.write(
                    b"HTTP/1.1 %d .\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                    % (status, len(body))
                    + body
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answered(self, head: bytes, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            if head.startswith(b"GET"):
                return 200, {"running": await self._engine.running()}
            asked = {**json.loads(body), "saga_id": uuid.uuid4().hex}
            await self._engine.start(asked)
        except Exception as error:  # noqa: BLE001 - the outermost loop: the caller gets the error
            return 500, {"detail": repr(error)}
        return 202, {"saga_id": asked["saga_id"]}


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    found = [line for line in lines if line.startswith(b"content-length:")]
    return int(found[0].partition(b":")[2]) if found else 0


async def main(name: str, port: str, server: str = "") -> None:
    """Serves until it is ended."""
    database = os.environ["RIVAL_DATABASE_URL"]
    engine = import_module(f"loadtests.rivals.{name}").Engine(database=database, server=server)
    await engine.open()
    door = EngineServer(engine=engine)
    listening = await asyncio.start_server(
        door.serve, HOST, int(port), reuse_port=True, backlog=1024
    )
    print(READY, flush=True)  # noqa: T201 - read by the process that started this one
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
