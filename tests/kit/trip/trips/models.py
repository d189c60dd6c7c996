"""The sagas that it has accepted, and the kit's tables."""

from coordination import models as coordination
from messaging import models as messaging
from participant import models as participant


class Trip(coordination.AcceptedSaga):
    pass


class Pause(coordination.Pause):
    pass


class IdempotencyKey(coordination.IdempotencyKey):
    pass


class BarrierEntry(participant.BarrierEntry):
    pass


class Intervention(participant.Intervention):
    pass


class OutboxEntry(messaging.OutboxEntry):
    pass


class FailedMessage(messaging.FailedMessage):
    pass


class WorkerHeartbeat(messaging.WorkerHeartbeat):
    pass
