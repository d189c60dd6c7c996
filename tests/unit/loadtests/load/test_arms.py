from loadtests.load import arms


def test_pattern_beside_itself_has_nothing_to_find() -> None:
    one, again = arms.twice(pattern="choreographed", delay_ms=0)
    assert one != again
    assert {arms.pattern_of(arm=one), arms.pattern_of(arm=again)} == {"choreographed"}
    assert arms.card_of(arm=one) == arms.card_of(arm=again)


def test_delayed_arm_pays_with_the_card_that_takes_so_long() -> None:
    one, slow = arms.twice(pattern="orchestrated", delay_ms=2)
    assert slow == "orchestrated +2ms"
    assert (arms.delay_ms_of(arm=one), arms.delay_ms_of(arm=slow)) == (0, 2)
    assert arms.card_of(arm=one) != arms.card_of(arm=slow)
