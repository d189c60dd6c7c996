from loadtests.verdicts import compare


def _compare(ones: list[float], others: list[float]):
    return compare(figure="p50", windows={"orchestrated": ones, "choreographed": others})


def test_complete_separation_of_four_windows_each_is_decided() -> None:
    found = _compare([20, 21, 22, 23], [10, 11, 12, 13])
    assert found.lower == "choreographed"
    assert found.by == 10
    assert "35" in found.why


def test_overlapping_windows_are_not_decided() -> None:
    found = _compare([20, 21, 22, 12.5], [10, 11, 12, 13])
    assert not found.lower
    assert "overlap" in found.why


def test_equal_windows_are_not_decided() -> None:
    assert not _compare([10, 10, 10, 10], [10, 10, 10, 10]).lower


def test_two_windows_each_decide_nothing_however_far_apart() -> None:
    found = _compare([100, 101], [1, 2])
    assert not found.lower
    assert "too few windows" in found.why


def test_pattern_without_a_window_decides_nothing() -> None:
    assert not _compare([], [1, 2, 3, 4]).lower
