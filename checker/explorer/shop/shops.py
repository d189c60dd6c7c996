"""The shop of a world, in memory or on PostgreSQL: the same calls, whichever it is."""

from checker.explorer.shop.memory_shop import MemoryShop
from checker.explorer.shop.postgres_shop import PostgresShop

Shop = MemoryShop | PostgresShop
