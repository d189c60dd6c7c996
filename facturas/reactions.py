"""What facturas does on each event or request of the sagas: projected from their pages."""

from facturas import operations
from messaging import reactions

REACTIONS = reactions.of(service=operations.SERVICE, module=operations)
