from flight import operations
from messaging import reactions

REACTIONS = reactions.of(service="flight", module=operations)
