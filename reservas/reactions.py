"""What reservas does on each event or request of the sagas: projected from their pages."""

from messaging import reactions
from reservas import operations

REACTIONS = reactions.of(service=operations.SERVICE, module=operations)
