"""Which courier gets which delivery: the pure decisions."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from envios.operations import area_of, decide_schedule, is_failing
from envios.store import Area, LockedCourier
from tarjetas.rules import refusal

HERE, THERE = Area("La Habana", "Plaza"), Area("Matanzas", "")


def courier(courier_id: int, places: int, *areas: Area) -> LockedCourier:
    return LockedCourier(id=courier_id, places=places, areas=set(areas or (HERE,)))


def chosen(areas: list[Area], *couriers: LockedCourier) -> list[int | None]:
    wanted = {(f"s{n}", "step"): area for n, area in enumerate(areas)}
    schedule = decide_schedule(wanted=wanted, couriers=couriers)
    return [schedule.get(key) for key in wanted]


def test_courier_with_most_places_left_is_chosen_and_then_the_first():
    assert chosen([HERE] * 4, courier(1, 1), courier(2, 3)) == [2, 2, 1, 2]


def test_first_in_the_list_gets_the_last_place():
    assert chosen([HERE, HERE], courier(1, 1)) == [1, None]


def test_courier_brings_nothing_to_where_it_does_not_serve():
    assert chosen([THERE, HERE], courier(1, 5), courier(2, 1, HERE, THERE)) == [2, 1]


@given(
    wanted=st.lists(st.sampled_from([HERE, THERE]), max_size=30),
    places=st.lists(
        st.tuples(st.integers(0, 5), st.sets(st.sampled_from([HERE, THERE]), min_size=1)),
        max_size=5,
    ),
)
def test_no_courier_gets_more_than_fits_and_no_delivery_is_left_while_a_courier_is_free(
    wanted, places
):
    couriers = [courier(n, count, *areas) for n, (count, areas) in enumerate(places)]
    ids = chosen(wanted, *couriers)
    left = {courier.id: courier.places - ids.count(courier.id) for courier in couriers}
    assert all(count >= 0 for count in left.values())
    for area, courier_id in zip(wanted, ids, strict=True):
        serving = {courier.id for courier in couriers if area in courier.areas}
        assert courier_id in serving if courier_id is not None else not any(map(left.get, serving))


def test_area_is_that_of_the_address():
    assert area_of({"province": " La Habana ", "city": "Plaza", "street": "23"}) == HERE
    assert area_of({}) == Area("", "")


def test_failing_deliveries_differ_from_the_declined_charges(settings):
    settings.DELIVERY_FAIL_SHARE = 0.2
    sagas = [f"s{n}" for n in range(1000)]
    declined = {
        saga
        for saga in sagas
        if refusal(
            saga_id=saga,
            saga="fulfilment",
            amount=Decimal(1),
            payment_method="credit_card",
            decline_shares={"": 0.2},
        )
    }
    failing = {saga for saga in sagas if is_failing(saga_id=saga)}
    assert 150 < len(failing) < 250
    assert 20 < len(failing & declined) < 60
