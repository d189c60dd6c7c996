"""What carrito does on an event or a request by message: its part of each saga's page."""

from carrito import operations
from messaging import reactions

REACTIONS = reactions.of(service=operations.SERVICE, module=operations)
