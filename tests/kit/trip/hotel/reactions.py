from hotel import operations
from messaging import reactions

REACTIONS = reactions.of(service="hotel", module=operations)
