"""What envios does on each event or request of the sagas: projected from their pages."""

from envios import operations
from messaging import reactions

REACTIONS = reactions.of(service=operations.SERVICE, module=operations)
