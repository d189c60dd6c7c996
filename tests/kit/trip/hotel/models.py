"""Its bookings, and the kit's tables."""

from django.db import models

from messaging import models as messaging
from participant import models as participant
from participant.models import TextId


class Booking(models.Model):
    saga_id = TextId(primary_key=True)
    traveller = models.CharField(max_length=200)
    city = models.CharField(max_length=200)
    is_cancelled = models.BooleanField(default=False)


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
