"""The logins of RabbitMQ and their rights: a service publishes its own messages and reads its own
queue; only the topology's login creates exchanges and queues.

RabbitMQ's rights are three patterns over names (configure, write, read), and one over routing keys
for each topic exchange. RabbitMQ attests who published a message: it refuses a property `user_id`
other than the publisher's login.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from contracts import topology

TOPOLOGY, AUDIT = "dueto_topology", "dueto_audit"
"""The login that creates exchanges and queues, and the one that only counts messages in queues."""
NOTHING = "^$"
_SALT = 4
_ALL_POWERS = ["administrator", "impersonator"]


class BrokerLogin(msgspec.Struct, frozen=True, kw_only=True):
    """`configure`, `write`, `read`: patterns of names. `topics`: patterns of routing keys, by
    exchange.
    """

    name: str
    configure: str = NOTHING
    write: str = NOTHING
    read: str = NOTHING
    topics: Mapping[str, str] = {}


def logins() -> tuple[BrokerLogin, ...]:
    """One for each service, under its name, and TOPOLOGY and AUDIT."""
    return (
        *(_of_service(name) for name in topology.services()),
        _topology(),
        BrokerLogin(name=AUDIT),
    )


def _of_service(service: str) -> BrokerLogin:
    keys_of = {exchange: keys for exchange, keys in topology.published_by(service).items() if keys}
    return BrokerLogin(
        name=service,
        write=_any_of(keys_of),
        read=_any_of([topology.queue_of(service=service)]),
        topics={exchange: _any_of(keys_of.get(exchange, ())) for exchange in topology.EXCHANGES},
    )


def _topology() -> BrokerLogin:
    """To bind a queue takes the rights to write to it and to read its exchange. To declare a queue
    with a dead-letter exchange takes the rights to read the queue and to write to that exchange.
    """
    queues = r"dueto\.[^.]+(\.dead)?"
    exchanges = "|".join(map(re.escape, (*topology.EXCHANGES, topology.DEAD)))
    return BrokerLogin(
        name=TOPOLOGY,
        configure=".*",
        write=f"^({queues}|{re.escape(topology.DEAD)})$",
        read=f"^({queues}|{exchanges})$",
    )


def _any_of(names: Iterable[str]) -> str:
    """The pattern that matches exactly these names."""
    pattern = "|".join(re.escape(name) for name in names)
    return f"^({pattern})$" if pattern else NOTHING


def definitions(
    *, passwords: Mapping[str, str], administrator: str = "", vhost: str = "/"
) -> dict[str, Any]:
    """What RabbitMQ imports (`load_definitions`, `rabbitmqctl import_definitions`): the logins and
    their rights in a virtual host. A login without a password can't log in.

    `administrator`: a login of `passwords` that may do everything, and publish as any other login.
    """
    known = logins()
    users = [*(login.name for login in known), *([administrator] if administrator else [])]
    all_of_it = [BrokerLogin(name=administrator, configure=".*", write=".*", read=".*")]
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {
                "name": name,
                "password_hash": _hashed(passwords[name]) if name in passwords else "",
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": _ALL_POWERS if name == administrator else [],
            }
            for name in users
        ],
        "permissions": [
            {
                "user": login.name,
                "vhost": vhost,
                "configure": login.configure,
                "write": login.write,
                "read": login.read,
            }
            for login in [*known, *(all_of_it if administrator else [])]
        ],
        "topic_permissions": [
            {
                "user": login.name,
                "vhost": vhost,
                "exchange": exchange,
                "write": write,
                "read": NOTHING,
            }
            for login in known
            for exchange, write in login.topics.items()
        ],
    }


def _hashed(password: str) -> str:
    """As RabbitMQ stores it: four bytes of salt, and SHA-256 of salt and password. The salt is
    derived from the password, so that the same logins give the same definitions.
    """
    salt = hashlib.sha256(f"salt {password}".encode()).digest()[:_SALT]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
