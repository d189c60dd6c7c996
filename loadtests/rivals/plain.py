"""The floor: the checkout's transactions one after the other, without any record of progress."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from loadtests.rivals.saga import CONNECTIONS, STEPS, Checkout, ConnectionPool


class Engine:
    """A checkout has ended when it is answered; a crash leaves it half done."""

    def __init__(self, *, database: str, server: str) -> None:
        self._tables = ConnectionPool(url=database)
        self._threads = ThreadPoolExecutor(CONNECTIONS)
        self._running = 0

    async def open(self) -> None:
        """There is nothing to start."""

    async def start(self, asked: Checkout) -> None:
        self._running += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._check_out, asked)
        finally:
            self._running -= 1

    async def running(self) -> int:
        return self._running

    def _check_out(self, checkout: Checkout) -> None:
        for step in STEPS:
            checkout = self._tables.take(step, checkout)
