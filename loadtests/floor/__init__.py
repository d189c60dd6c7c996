"""BENCHMARK ONLY. The floor: the same checkout in one local transaction of one database.

No saga, no barrier, no outbox, no broker, no call to another service: what a checkout costs where
nothing is distributed, so that `manage.py compare` can show what distribution itself costs. The
same HTTP server, the same database server with the same durability, and the same operations with
their SQL, in the order of the saga's page; it is no pattern of the shop, and is not reachable
unless DUETO_MONOLITH=1 says so. Only checkouts are accepted so: no other owner has such a door.

Read `checkout` (the transaction), then `urls` (the door).
"""

PATTERN = "monolith"
"""As a checkout asks for it, where it can be asked for at all."""
