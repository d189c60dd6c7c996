"""The answers to shoppers are compared with the owner's table: each mistake is found."""

from checker.soak.watching import AcceptedRow, breaches

ANSWERS = {"key of sold": ["sold"], "key of undone": ["undone"]}


def accepted(saga_id):
    return AcceptedRow(saga_id, f"key of {saga_id}", "completed", 0.0, 1.0)


KEPT = (accepted("sold"), accepted("undone"))


def mistakes(*, answers=ANSWERS, kept=KEPT):
    return list(breaches(accepted=kept, answers=answers))


def test_answers_with_the_shoppers_own_saga_are_right():
    assert mistakes() == []


def test_answer_that_no_table_has_is_found():
    assert mistakes(answers={**ANSWERS, "key of lost": ["lost"]}) == [
        "the shopper under key key of lost was answered lost, which no table has"
    ]


def test_request_that_was_never_accepted_is_found():
    assert mistakes(answers={**ANSWERS, "key of waiting": []}) == [
        "the request under key key of waiting was never accepted"
    ]


def test_two_answers_for_one_key_are_found():
    assert mistakes(answers={**ANSWERS, "key of sold": ["sold", "other"]}) == [
        "the shopper under key key of sold got several answers: sold, other"
    ]


def test_saga_of_another_shopper_is_found():
    swapped = {"key of sold": ["undone"], "key of undone": ["sold"]}
    assert mistakes(answers=swapped)[0] == (
        "saga undone was returned under key key of sold, and stored under key of undone"
    )


def test_saga_that_was_not_requested_is_found():
    kept = (*KEPT, accepted("ghost"))
    assert mistakes(kept=kept) == ["1 sagas are under key 'key of ghost', which no shopper used"]
