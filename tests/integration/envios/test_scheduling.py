"""Schedule and cancel: which courier gets a delivery, and is free again."""

import pytest

from catalogue import refusals
from contracts.outcomes import NOTHING_TO_UNDO, Done, Refused
from envios import operations
from envios.models import Courier, Delivery, DeliveryStatus

pytestmark = pytest.mark.django_db(databases=["envios"])

HAVANA = {"street": "Calle 23", "city": "Plaza", "province": "La Habana"}


def busy(*couriers: Courier) -> list[int]:
    """How many deliveries each courier has, checked against the deliveries' rows."""
    for courier in couriers:
        courier.refresh_from_db()
        assert (
            courier.busy
            == courier.deliveries.filter(status__in=["scheduled", "in_transit"]).count()
        )
    return [courier.busy for courier in couriers]


def test_delivery_is_given_to_a_free_courier(courier, shop):
    rosa = courier()
    outcome = shop.schedule("s")
    delivery = Delivery.objects.get()
    assert outcome == Done(
        {"delivery_id": str(delivery.pk), "courier_id": str(rosa.pk), "status": "scheduled"}
    )
    assert (delivery.subject, delivery.status) == ("order s", "scheduled")
    assert busy(rosa) == [1]


def test_deliveries_go_to_the_courier_with_most_places_left(courier, shop):
    small, large = courier(2), courier(4)
    shop.schedule_all(["a", "b", "c", "d"])
    assert busy(small, large) == [1, 3]


def test_busy_couriers_refuse(courier, shop):
    rosa = courier(2)
    outcomes = shop.schedule_all(["a", "b", "c"])
    assert [isinstance(outcome, Done) for outcome in outcomes] == [True, True, False]
    assert outcomes[2].code == shop.schedule("d").code == refusals.NO_COURIER_FREE
    assert busy(rosa) == [2]


@pytest.mark.parametrize(
    ("province", "city", "serves"),
    [
        ("La Habana", "Plaza", True),
        ("la habana", "PLAZA", True),
        ("La Habana", "", True),
        ("La Habana", "Playa", False),
        ("Matanzas", "Plaza", False),
        ("", "", False),
    ],
)
def test_courier_serves_a_city_or_all_of_a_province(courier, shop, province, city, serves):
    courier(province=province, city=city)
    outcome = shop.schedule("s", HAVANA)
    assert isinstance(outcome, Done) == serves
    assert serves or outcome.code == refusals.AREA_NOT_SERVED


def test_destination_without_an_area_is_served_by_couriers_without_one(courier, shop):
    courier(province="La Habana")
    assert shop.schedule("a", {"street": "Calle 23"}).code == refusals.AREA_NOT_SERVED
    free = courier()
    shop.schedule("b", {"street": "Calle 23"})
    assert busy(free) == [1]


def test_list_gets_the_couriers_of_each_area(courier, shop):
    havana, matanzas = courier(5, province="La Habana"), courier(5, province="Matanzas")
    shop.schedule_all(["a", "b"], HAVANA)
    shop.schedule_all(["c"], {"province": "Matanzas"})
    assert busy(havana, matanzas) == [2, 1]


def test_cancelled_delivery_frees_its_courier_once(courier, shop):
    rosa = courier()
    shop.schedule("s")
    for _ in range(2):
        assert shop.cancel("s", reason="card_declined").data["status"] == "cancelled"
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.cancelled_because) == ("cancelled", "card_declined")
    assert busy(rosa) == [0]
    assert isinstance(shop.schedule("t"), Done)


def test_delivery_that_is_cancelled_before_it_is_scheduled_is_never_scheduled(courier, shop):
    rosa = courier()
    assert shop.cancel("s") == NOTHING_TO_UNDO
    assert shop.schedule("s").code == refusals.ABORTED
    assert busy(rosa) == [0]


def test_operation_that_serves_two_steps_of_a_saga_is_undone_for_each(courier, shop):
    rosa = courier(2)
    shop.schedule("s", step="first")
    shop.schedule("s", step="second")
    assert busy(rosa) == [2]
    shop.cancel("s", step="first")
    assert busy(rosa) == [1]
    assert Delivery.objects.get(status="scheduled").step == "second"


def test_delivered_frees_its_courier_once_and_a_return_still_cancels_it(courier, shop):
    rosa = courier()
    shop.schedule("s")
    pk = Delivery.objects.get().pk
    for status in (DeliveryStatus.IN_TRANSIT, DeliveryStatus.DELIVERED, DeliveryStatus.DELIVERED):
        assert operations.move_on(delivery_id=pk, status=status) is None
    assert busy(rosa) == [0]
    shop.cancel("s")
    assert busy(rosa) == [0]
    assert Delivery.objects.get().status == "cancelled"


@pytest.mark.parametrize("status", [DeliveryStatus.IN_TRANSIT, DeliveryStatus.DELIVERED])
def test_cancelled_delivery_goes_nowhere(courier, shop, status):
    courier()
    shop.schedule("s")
    shop.cancel("s")
    refused = operations.move_on(delivery_id=Delivery.objects.get().pk, status=status)
    assert isinstance(refused, Refused)
    assert refused.code == operations.DELIVERY_CANCELLED


def test_share_of_failures_is_refused_always_for_the_same_sagas(courier, shop, settings):
    settings.DELIVERY_FAIL_SHARE = 0.5
    rosa = courier(100)
    outcomes = shop.schedule_all([f"s{n}" for n in range(100)])
    failed = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert {refusal.code for refusal in failed} == {refusals.NO_COURIER_FREE}
    assert 30 < len(failed) < 70
    assert busy(rosa) == [100 - len(failed)]
    expected = [operations.is_failing(saga_id=f"s{n}") for n in range(100)]
    assert [isinstance(outcome, Refused) for outcome in outcomes] == expected
