import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.drawing.plot import Linear, Log, Tail, rounded_up, step_for

AMOUNTS = st.floats(min_value=1e-6, max_value=1e9)
SCALES = [
    Linear(low=0, high=100, start=40, end=700),
    Linear(low=-1, high=1, start=300, end=20),
    Log(low=0.5, high=5000, start=300, end=20),
    Tail(high=0.999, start=40, end=700),
]


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: type(scale).__name__)
@given(values=st.lists(st.floats(min_value=-10, max_value=9999), min_size=2, max_size=20))
def test_scale_keeps_the_order_and_stays_on_the_paper(
    scale: Linear | Log | Tail, values: list[float]
) -> None:
    most = 0.9999 if isinstance(scale, Tail) else math.inf
    places = [scale(min(value, most)) for value in sorted(values)]
    backward = scale.start > scale.end
    assert places == sorted(places, reverse=backward)
    low, high = sorted((scale.start, scale.end))
    assert all(low - 1e-6 <= place <= high + 1e-6 for place in places)


@given(high=AMOUNTS, most=st.integers(min_value=2, max_value=10))
def test_axis_ends_at_a_round_number_with_room_for_its_highest(high: float, most: int) -> None:
    end = rounded_up(high, most=most)
    assert high * (1 - 1e-8) <= end <= high * 3.5
    ticks = Linear(low=0, high=end, start=0, end=1).ticks(most=most)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= most + 1
    assert ticks[-1] == pytest.approx(end)


@given(span=AMOUNTS, most=st.integers(min_value=1, max_value=12))
def test_steps_between_marks_are_round(span: float, most: int) -> None:
    step = step_for(span=span, most=most)
    digits = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert any(digits == pytest.approx(digit) for digit in (1, 2, 2.5, 5, 10))
    assert span / step <= most * (1 + 1e-6)


def test_each_further_nine_of_the_tail_is_as_long_as_the_one_before() -> None:
    tail = Tail(high=0.9999, start=0, end=400)
    assert [tail(share) for share in (0, 0.9, 0.99, 0.999, 0.9999)] == pytest.approx(
        [0, 100, 200, 300, 400]
    )
    assert tail.ticks() == [0, 0.5, 0.9, 0.99, 0.999, 0.9999]


def test_marks_of_a_logarithmic_axis_are_few_and_within() -> None:
    ticks = Log(low=2, high=3000, start=0, end=1).ticks(most=8)
    assert ticks == [3, 10, 30, 100, 300, 1000, 3000]
