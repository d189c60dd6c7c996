"""Looking at charges."""

from django.db.models import Case, F, QuerySet, Value, When
from django.db.models.functions import Now

from tarjetas.models import Charge, ChargeStatus


def charges(*, saga_id: str = "") -> QuerySet[Charge]:
    """All charges (of a saga), newest first; as `stands` what has become of each by now."""
    is_due = When(
        status=ChargeStatus.PROCESSING, answers_at__lte=Now(), then=Value(ChargeStatus.CAPTURED)
    )
    found = Charge.objects.annotate(stands=Case(is_due, default=F("status"))).order_by("-id")
    return found.filter(saga_id=saga_id) if saga_id else found


def charge(*, key: str) -> Charge | None:
    """The charge that this key stands for."""
    return charges().filter(key=key, past=0).first()
