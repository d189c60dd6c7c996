"""Classic bugs, each put into the real code by a small patch, and the checker that must find it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from contracts.patterns import CHOREOGRAPHED, ORCHESTRATED
from tests.seeded import bugs_of_decisions as decisions
from tests.seeded import bugs_of_messages as messages
from tests.seeded import bugs_of_orchestrating as orchestrating
from tests.seeded import bugs_of_services as services
from tests.seeded import bugs_of_wiring as wiring
from tests.seeded import races, scenarios


class Bug(NamedTuple):
    """`put_in`: patches the code. `scenario`: is run then; None: the protocol check runs nothing.
    `found_as`: the beginning of the finding: a rule, a group of the audit, or the explorer's text.
    `explored`: the pattern that the explorer plays instead.
    """

    what: str
    put_in: Callable[[Any], None]
    scenario: Callable[[Any], None] | None
    found_as: str
    explored: str = ""

    @property
    def row(self) -> str:
        """Its row in docs/explanation/checking.md."""
        when = self.scenario.__name__.replace("_", " ") if self.scenario else ""
        found_by = "audit" if self.scenario else "protocol check"
        if self.explored:
            when, found_by = f"a booking, {self.explored}", "explorer"
        return f"| {self.what} | {when} | {found_by} | {self.found_as.strip()} |"


BUGS = {
    bug.put_in.__name__: bug
    for bug in (
        Bug("undos come forward, not in reverse", wiring.undos_forward, None, "reverse: "),
        Bug("an abort has a second decider", wiring.second_decider, None, "decider: "),
        Bug("no service consumes a refusal", wiring.refusal_not_consumed, None, "received: "),
        Bug("an abort does not ask the pivot", wiring.abort_without_the_pivot, None, "decider: "),
        Bug("the watcher misses an event", wiring.watcher_misses_an_event, None, "watched: "),
        Bug("an undo is passed over", wiring.undo_passed_over, None, "undone: "),
        Bug("a refusal is tried again", orchestrating.refusal_tried_again, None, "once: "),
        Bug(
            "the cart is not unlocked after the undos",
            orchestrating.acceptance_not_undone,
            None,
            "undone: ",
        ),
        Bug(
            "a step in doubt is not undone",
            orchestrating.step_in_doubt_not_undone,
            None,
            "turned back: ",
        ),
        Bug(
            "a pivot in doubt is taken for refused",
            orchestrating.pivot_in_doubt_taken_for_refused,
            None,
            "turned back: ",
        ),
        Bug("no barrier", services.no_barrier, scenarios.killed_before_ack, "3 not ended"),
        Bug(
            "the barrier comes after the effect, in another transaction",
            services.barrier_after_the_effect,
            scenarios.killed_in_a_charge,
            "2 completed, but payment ",
        ),
        Bug("outcomes are not stored", services.outcome_not_stored, scenarios.every_end, "6 do "),
        Bug(
            "an undo does not block its late action",
            services.undo_does_not_block,
            scenarios.an_abort_that_overtakes,
            "1 has ended, but ",
        ),
        Bug(
            "an undo of what never happened is refused",
            services.undo_of_nothing_refused,
            scenarios.an_abort_that_overtakes,
            "3 not ended",
        ),
        Bug(
            "stock is not checked",
            services.oversell_unchecked,
            scenarios.the_last_unit,
            "1 product ",
        ),
        Bug(
            "an expired reservation is sold",
            services.expired_reservation_sold,
            scenarios.a_reservation_that_expires,
            "4 completed with ",
        ),
        Bug("money is a float", services.float_money, scenarios.every_end, "4 total 4.34"),
        Bug(
            "a refund is given twice",
            services.refund_given_twice,
            scenarios.a_return,
            "2 refunded 2",
        ),
        Bug("the cart stays locked", services.cart_left_locked, scenarios.every_end, "4 its cart "),
        Bug(
            "a cart is bought twice",
            services.cart_bought_twice,
            scenarios.a_cart_checked_out_twice,
            "4 its cart ",
        ),
        Bug(
            "the Idempotency-Key is ignored",
            services.idempotency_key_ignored,
            scenarios.a_key_used_again,
            "8 the idempotency key",
        ),
        Bug(
            "a message is acked before the commit",
            messages.ack_before_commit,
            scenarios.killed_in_a_charge,
            "3 not ended",
        ),
        Bug(
            "an event is published before the commit",
            messages.publish_before_commit,
            scenarios.killed_before_commit,
            "6 process_payment was done before",
        ),
        Bug(
            "the relay marks rows before they are confirmed",
            messages.marked_before_confirmed,
            scenarios.the_broker_away,
            "3 not ended",
        ),
        Bug(
            "a message that faults is dropped",
            messages.poison_dropped,
            scenarios.a_fault,
            "3 not ended",
        ),
        Bug(
            "a poison message blocks its queue",
            messages.poison_blocks_the_queue,
            scenarios.a_poison_message,
            "7 ",
        ),
        Bug(
            "an event published again is another event",
            messages.event_id_at_random,
            scenarios.a_message_lost,
            "8 inventario has published",
        ),
        Bug(
            "a redrive is not answered",
            messages.redrive_not_answered,
            scenarios.a_message_lost,
            "3 not ended",
        ),
        Bug(
            "the redrive is lost",
            messages.redrive_never_sent,
            scenarios.a_message_lost,
            "3 not ended",
        ),
        Bug("a status goes back", messages.status_goes_back, scenarios.a_late_event, "3 not ended"),
        Bug(
            "handed over before the coordinator has answered",
            orchestrating.handed_over_before_answered,
            scenarios.the_coordinator_away,
            "3 handed over, but no coordinator",
        ),
        Bug(
            "a saga is answered for before it is written",
            orchestrating.saga_not_written,
            scenarios.an_orchestrated_sale,
            "3 handed over, but no coordinator",
        ),
        Bug(
            "what the executor has done is not written down",
            orchestrating.transitions_not_written,
            scenarios.an_orchestrated_sale,
            "3 not ended",
        ),
        Bug(
            "a parked saga is taken for ended",
            orchestrating.parked_taken_for_ended,
            scenarios.an_undo_that_fails_for_ever,
            "3 not ended",
        ),
        Bug(
            "a reply counts that answers nothing due",
            orchestrating.any_reply_counts,
            scenarios.a_reply_consumed_twice,
            "4 compensated, but its order",
        ),
        Bug(
            "a worker without a fence",
            orchestrating.no_fence,
            scenarios.a_worker_that_wakes_up,
            "3 not ended",
        ),
    )
}
"""Each by the name of its patch."""

RACES = {
    bug.put_in.__name__: bug
    for bug in (
        Bug(
            "stock is not locked",
            services.stock_not_locked,
            races.two_for_the_last_unit,
            "1 product ",
        ),
        Bug(
            "an expiry does not lock",
            services.expiry_not_locked,
            races.an_expiry_during_the_sale,
            "1 product ",
        ),
        Bug(
            "the relay goes by the last id",
            messages.relay_by_last_id,
            races.a_late_commit,
            "7 checkout.inventory.reserved of inventario was never sent",
        ),
    )
}
"""Bugs that need two workers at the same moment."""

EXPLORED = {
    bug.put_in.__name__: bug
    for bug in (
        Bug(
            "a decision counts after its withdrawal",
            decisions.withdrawal_leaves_it_open,
            None,
            "a step was done after undoing had begun",
            CHOREOGRAPHED,
        ),
        Bug(
            "a step is decided twice",
            decisions.verdict_counts_again,
            None,
            "was decided more than once",
            CHOREOGRAPHED,
        ),
        Bug(
            "a step is overdue, and its yes counts",
            decisions.sweep_waits_for_no_lock,
            None,
            "was decided more than once: overdue",
            ORCHESTRATED,
        ),
        Bug(
            "a wait is forgotten by a crash",
            decisions.asked_after_the_commit,
            None,
            "a saga never ends",
            ORCHESTRATED,
        ),
        Bug(
            "a capture is repeated after a lost answer",
            decisions.another_key_each_time,
            None,
            "has taken money 2 times",
            CHOREOGRAPHED,
        ),
    )
}
"""Bugs that the explorer finds, in a saga of which two steps wait for people."""
