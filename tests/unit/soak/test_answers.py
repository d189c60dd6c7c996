"""What shoppers were told is held against what the owner has: each thing that is wrong is found."""

from checker.soak.watching import WatchedSaga, breaches

TOLD = {"key of sold": ["sold"], "key of undone": ["undone"]}


def accepted(saga_id):
    return WatchedSaga(saga_id, f"key of {saga_id}", "completed", 0.0, 1.0)


KEPT = (accepted("sold"), accepted("undone"))


def found(*, told=TOLD, kept=KEPT):
    return list(breaches(accepted=kept, answers=told))


def test_shoppers_who_were_told_of_their_own_saga_are_right():
    assert found() == []


def test_answer_that_no_table_has_is_found():
    assert found(told={**TOLD, "key of lost": ["lost"]}) == [
        "the shopper under key key of lost was answered lost, which no table has"
    ]


def test_what_was_never_accepted_is_found():
    assert found(told={**TOLD, "key of waiting": []}) == [
        "what was asked for under key key of waiting was never accepted"
    ]


def test_two_answers_for_one_key_are_found():
    assert found(told={**TOLD, "key of sold": ["sold", "other"]}) == [
        "the shopper under key key of sold was given several answers: sold, other"
    ]


def test_saga_told_to_another_shopper_is_found():
    swapped = {"key of sold": ["undone"], "key of undone": ["sold"]}
    assert found(told=swapped)[0] == (
        "saga undone was told under key key of sold, and is kept under key of undone"
    )


def test_saga_for_which_nobody_asked_is_found():
    kept = (*KEPT, accepted("ghost"))
    assert found(kept=kept) == ["1 sagas are under key 'key of ghost', which no shopper used"]
