"""`pagos.ledger` in memory."""

from collections.abc import Mapping, Sequence

from checker.explorer.store import Store
from contracts.commands import Charge
from contracts.outcomes import Refused
from pagos import gateway
from pagos.ledger import Held
from pagos.models import PaymentStatus


class Ledger:
    def __init__(self, store: Store) -> None:
        self._store = store
        self.payments = store.table("pagos.payment")
        self.refunds = store.table("pagos.refund")

    def add_payments(
        self, *, charges: Sequence[Charge], decided: Sequence[Refused | None]
    ) -> dict[str, str]:
        ids = {}
        for charge, refused in zip(charges, decided, strict=True):
            payment_id = ids[charge.saga_id] = f"payment-{self._store.next_id()}"
            row = Held(
                id=payment_id,
                saga_id=charge.saga_id,
                amount=charge.amount if gateway.is_chargeable(amount=charge.amount) else 0,  # type: ignore[arg-type]
                status=PaymentStatus.REFUSED if refused else PaymentStatus.CAPTURED,
            )
            self._store.insert(self.payments, charge.saga_id, row, constraint="payment_once_a_saga")
        return ids

    def lock_payments(self, *, saga_ids: Sequence[str]) -> dict[str, Held]:
        found = {}
        for saga_id in sorted(saga_ids):
            if saga_id in self.payments:
                self._store.lock(self.payments, saga_id)
                found[saga_id] = self.payments[saga_id]
        self._store.tell("after reading")
        return found

    def refund(self, *, payments: Sequence[Held], reasons: Mapping[str, str]) -> None:
        for one in payments:
            known = self.payments[one.saga_id]
            back = Held(
                id=known.id,
                saga_id=known.saga_id,
                amount=known.amount,
                status=PaymentStatus.REFUNDED,
            )
            self._store.write(self.payments, one.saga_id, back)
            self._store.insert(
                self.refunds, one.saga_id, known.amount, constraint="refund_once_a_saga"
            )
