from messaging import reactions
from trips import operations

REACTIONS = reactions.of(service="trips", module=operations)
