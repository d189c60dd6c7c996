"""The process, saga, pattern and situation for each failpoint: the crash cases.

A point without a case fails `tests/architecture/test_failpoints.py`; a process that reaches a point
without being killed there fails `test_crash_points.py`.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from catalogue import SAGAS
from contracts.patterns import CHOREOGRAPHED, HAS_TEMPORAL, ORCHESTRATED, TEMPORAL
from contracts.patterns import ORCHESTRATED_MESSAGING as MESSAGING
from contracts.saga import Direction, Step

CHECKOUT, FULFILMENT, SHIPMENT, PURCHASE = "checkout", "fulfilment", "shipment", "purchase"


class Case(NamedTuple):
    """A process at a point. `situation`: the events of the round (`situations`)."""

    saga: str
    pattern: str
    situation: str
    process: str
    point: str

    @property
    def id(self) -> str:
        point = self.point.replace(" ", "_")
        return f"{self.pattern}-{self.saga}-{self.situation}-{self.process}-{point}"


Rows = dict[str, list[str]]
CALLING = ["client.before_call", "client.answered"]
CONSUMING = ["consumer.taken", "consumer.before_ack", "consumer.acked", "failed.before_claim"]
PUBLISHING = [
    "relay.before_publish",
    "publisher.before_write",
    "publisher.before_confirm",
    "relay.confirmed",
    "relay.settled",
    "relay.marked",
]
PAYING = [
    *("desk.before_charge", "desk.charged"),
    *("decisions.before_commit", "decisions.after_commit"),
]
"""Points of the process that calls the card network: the one that has written the intent."""
REFUNDING: Rows = {
    "pagos.worker": [
        *("desk.before_claim", "desk.before_refund", "desk.refunded", "desk.given_back")
    ]
}
HANDING_OVER = [*CALLING, "handover.before_mark", "handover.marked"]


def _executing(*operations: str) -> list[str]:
    return [
        f"executing.{moment} of {operation}"
        for operation in operations
        for moment in ("before_commit", "after_commit")
    ]


def _joined(*parts: Rows) -> Rows:
    names = [name for part in parts for name in part]
    return {
        name: [point for part in parts for point in part.get(name, [])]
        for name in dict.fromkeys(names)
    }


def _in(kind: str, direction: Direction, steps: Iterable[Step]) -> Rows:
    """Each step in this kind of process of its service."""
    return _joined(
        *({f"{step.service}.{kind}": _executing(f"{direction} {step.operation}")} for step in steps)
    )


def _also(rows: Rows, *points: str) -> Rows:
    return {process: [*own, *points] for process, own in rows.items()}


def _bought(saga: str, kind: str) -> Rows:
    """The points of the steps that are done, and of the undos after a declined card."""
    definition = SAGAS[saga]
    return _joined(
        _in(kind, Direction.DO, definition.steps[1:]),
        {f"pagos.{kind}": PAYING},
        _in(kind, Direction.UNDO, definition.steps[: definition.position("process_payment")]),
    )


def _returned(saga: str, kind: str) -> Rows:
    """The points of the undos of a return that a declined card does not reach."""
    definition = SAGAS[saga]
    steps = definition.steps[definition.position("process_payment") :]
    return _in(kind, Direction.UNDO, [step for step in steps if step.can(Direction.UNDO)])


def _accepting(saga: str) -> Rows:
    owner = SAGAS[saga].owner
    return {f"{owner}.web": [*_executing(f"do {owner}.accept"), "acceptance.before_reply"]}


def _by_message(saga: str) -> Rows:
    return _also(_bought(saga, "worker"), *CONSUMING, *PUBLISHING, "outbox.committed")


STARTING: Rows = {
    "saga_orchestrator.web": [
        "orchestration.before_start",
        "orchestration.started",
        "coordinator.before_reply",
    ],
    "saga_orchestrator.worker": [
        *("lease.before_renewal", "lease.renewed", "runner.before_claim", "runner.claimed")
    ],
}
INTERVENING: Rows = {
    "saga_orchestrator.web": [
        "intervention.before_commit",
        "intervention.committed",
        "intervention.before_reply",
    ]
}

Reached = dict[tuple[str, str, str], Rows]


def _orchestrated(saga: str) -> Reached:
    """The cases of one saga; only its owner's differ in acceptance and hand-over."""
    owner = SAGAS[saga].owner
    return {
        (saga, ORCHESTRATED, "bought"): _joined(
            _accepting(saga),
            _also(_bought(saga, "web"), "steps.before_reply"),
            STARTING,
            {
                "saga_orchestrator.worker": [
                    *(*CALLING, "executor.before_record", "executor.recorded")
                ],
            },
        ),
        (saga, ORCHESTRATED, "handed_over"): {f"{owner}.web": HANDING_OVER},
        (saga, ORCHESTRATED, "handed_over_late"): {f"{owner}.worker": HANDING_OVER},
        (saga, ORCHESTRATED, "doors"): {
            f"{owner}.web": ["acceptance.known"],
            "saga_orchestrator.web": CALLING,
        },
        (saga, ORCHESTRATED, "returned"): _joined(_returned(saga, "web"), REFUNDING, INTERVENING),
        (saga, ORCHESTRATED, "damaged"): {
            f"{owner}.worker": ["handover.before_dead_letter", "handover.dead_letter"],
            f"{owner}.web": [
                *("handover.before_retry", "handover.retried"),
                *("handover.before_discard", "handover.discarded"),
            ],
        },
    }


def _by_messages(saga: str) -> Reached:
    return {
        (saga, MESSAGING, "bought"): _joined(
            _accepting(saga),
            _by_message(saga),
            STARTING,
            {
                "saga_orchestrator.worker": [
                    *("requesting.before_commit", "requesting.after_commit"),
                    *("replies.before_commit", "replies.after_commit"),
                    *(*CONSUMING, *PUBLISHING, "outbox.committed"),
                ],
            },
        ),
        (saga, MESSAGING, "returned"): _joined(_returned(saga, "worker"), REFUNDING, INTERVENING),
    }


def _choreographed(saga: str) -> Reached:
    owner = SAGAS[saga].owner
    return {
        (saga, CHOREOGRAPHED, "bought"): _joined(
            _also(_accepting(saga), "outbox.committed"),
            _by_message(saga),
            {
                "saga_choreography.worker": [
                    *(*CONSUMING, "tracking.before_commit", "tracking.after_commit")
                ],
            },
        ),
        (saga, CHOREOGRAPHED, "doors"): {
            f"{owner}.web": ["acceptance.known"],
            "saga_choreography.web": CALLING,
        },
        (saga, CHOREOGRAPHED, "watched_late"): {
            f"{owner}.worker": HANDING_OVER,
            "saga_choreography.web": [
                *("tracking.before_commit", "tracking.after_commit", "coordinator.before_reply")
            ],
        },
        (saga, CHOREOGRAPHED, "returned"): _joined(
            _returned(saga, "worker"),
            REFUNDING,
            {
                "saga_choreography.web": [
                    *("asking.before_commit", "outbox.committed", "asking.before_reply")
                ],
                "saga_choreography.worker": PUBLISHING,
            },
        ),
    }


def _on_temporal() -> Reached:
    """The other services' points are the same as in the orchestrated pattern."""
    bought = {
        "saga_temporal.web": [
            *("temporal.before_start", "temporal.started", "coordinator.before_reply")
        ],
        "saga_temporal.worker": [
            *("temporal.begun", "temporal.marked_begun", "temporal.before_write"),
            *("temporal.written", *CALLING, "temporal.before_answer"),
        ],
    }
    return {
        (CHECKOUT, TEMPORAL, "bought"): _joined(
            _accepting(CHECKOUT), _also(_bought(CHECKOUT, "web"), "steps.before_reply"), bought
        ),
        (CHECKOUT, TEMPORAL, "returned"): {
            "saga_temporal.web": [
                *("temporal.before_commit", "temporal.committed", "temporal.before_reply")
            ],
            "saga_temporal.worker": ["temporal.told", "temporal.marked_told"],
        },
        (PURCHASE, TEMPORAL, "confirmed"): {
            "saga_temporal.web": ["temporal.before_decided", "temporal.decided"],
            "saga_temporal.worker": ["temporal.told_decided", "temporal.marked_decided"],
        },
    }


REACHED: Reached = {
    **_orchestrated(CHECKOUT),
    **_by_messages(CHECKOUT),
    **_choreographed(CHECKOUT),
    # The other owner, and the courier. Both of its sagas are the same code: one in each pattern.
    **_orchestrated(FULFILMENT),
    **_by_messages(FULFILMENT),
    **_choreographed(SHIPMENT),
    (PURCHASE, ORCHESTRATED, "confirmed"): _joined(
        _in("web", Direction.DO, SAGAS[PURCHASE].steps[1:]),
        {
            "pagos.web": [
                *("executing.before_promise", "executing.promised"),
                *("payments.before_reply", "decisions.before_reply"),
                *("decisions.before_commit", "decisions.after_commit"),
            ],
            "pagos.worker": ["decisions.before_mark", "decisions.marked"],
            "saga_orchestrator.web": [
                *("orchestration.before_decided", "orchestration.decided"),
                "coordinator.before_told",
            ],
        },
    ),
    (PURCHASE, CHOREOGRAPHED, "confirmed"): _joined(
        _in("worker", Direction.DO, SAGAS[PURCHASE].steps[1:]),
        {
            "pagos.web": [
                *("payments.before_reply", "decisions.before_reply"),
                *("decisions.before_commit", "decisions.after_commit"),
            ],
            "saga_choreography.worker": [
                *("leaving_alone.before_commit", "leaving_alone.after_commit")
            ],
        },
    ),
    (CHECKOUT, ORCHESTRATED, "paid_by_hand"): {"pagos.web": ["payments.intended"]},
    (CHECKOUT, MESSAGING, "stopped"): {"saga_orchestrator.worker": ["requesting.before_wake"]},
    (CHECKOUT, CHOREOGRAPHED, "aborted"): {
        "inventario.worker": _executing("block inventario.commit"),
        "saga_choreography.worker": ["watchdog.before_commit", "watchdog.after_commit"],
    },
    (CHECKOUT, CHOREOGRAPHED, "redriven"): {
        "saga_choreography.worker": [
            "watchdog.before_commit",
            "watchdog.after_commit",
            "outbox.committed",
        ],
        "inventario.worker": ["saying_again.before_commit", "saying_again.after_commit"],
    },
    **{
        (CHECKOUT, pattern, "expired"): {
            "inventario.worker": ["expiry.before_commit", "expiry.after_commit"],
        }
        for pattern in (ORCHESTRATED, CHOREOGRAPHED, MESSAGING)
    },
    (CHECKOUT, CHOREOGRAPHED, "unreadable"): {
        "inventario.worker": ["failed.before_dead_letter", "failed.dead_lettered"],
    },
    (CHECKOUT, CHOREOGRAPHED, "faulting"): {
        "pagos.worker": [
            *("failed.before_keep", "failed.before_insert", "failed.inserted"),
            *("failed.claimed", "failed.before_count", "failed.counted"),
            *("failed.before_handled", "failed.handled"),
        ],
    },
    (CHECKOUT, ORCHESTRATED, "charged_by_hand"): {
        "tarjetas.web": [
            *("network.before_commit", "network.after_commit"),
            *("network.before_refund", "network.refunded"),
        ],
    },
    (CHECKOUT, CHOREOGRAPHED, "handled_late"): {
        "pagos.worker": ["failed.before_close", "failed.closed"],
    },
    (CHECKOUT, CHOREOGRAPHED, "given_up"): {
        "saga_choreography.worker": ["giving_up.before_commit", "giving_up.after_commit"],
    },
    (CHECKOUT, ORCHESTRATED, "unknown_steps"): {
        "saga_orchestrator.worker": ["runner.before_park", "runner.parked"],
    },
    (CHECKOUT, ORCHESTRATED, "stopping"): {
        "saga_orchestrator.worker": [
            "lease.before_release",
            "lease.before_sign_off",
            "lease.signed_off",
        ],
    },
    (CHECKOUT, CHOREOGRAPHED, "without_database"): {
        "pagos.worker": ["consumer.before_give_back", "consumer.given_back"],
    },
    **_on_temporal(),
}
"""By pattern and situation: the points of each process."""

MOST_DEATHS = {
    "bought": 3,
    "returned": 3,
    "confirmed": 2,
    "watched_late": len(HANDING_OVER),
    "faulting": 8,
    "given_up": 2,
    "unknown_steps": 2,
}
"""How often a worker may die in a round of a situation, at one point after the other; otherwise
once, where it would not reach a further point.
"""
MOST_DEATHS_OF_WEB = {"handed_over": len(HANDING_OVER), "watched_late": 3}
"""Of a web process: after five faults the orchestrator gives a step up and undoes a saga that the
round expects to complete.
"""


def all_cases() -> list[Case]:
    """Each process at each point that it reaches."""
    return [
        Case(*where, process, point)
        for where, rows in REACHED.items()
        for process, points in rows.items()
        for point in points
    ]


def one_process_each() -> list[Case]:
    """One case for each point, shared out evenly among patterns and processes; with Temporal,
    one for each point of that pattern, as the other patterns are killed in another run.
    """
    by_point: dict[str, list[Case]] = {}
    for case in all_cases():
        if (case.pattern == TEMPORAL) == HAS_TEMPORAL:
            by_point.setdefault(case.point, []).append(case)
    load: Counter[tuple[str, str]] = Counter()
    chosen: list[Case] = []
    for candidates in sorted(by_point.values(), key=len):
        case = min(candidates, key=lambda case: load[case.pattern, case.process])
        load[case.pattern, case.process] += 1
        chosen.append(case)
    return chosen


def rounds(cases: Iterable[Case]) -> list[tuple[Case, ...]]:
    """The cases whose processes can be killed during one run of a situation."""
    made: dict[tuple[str, str, str], list[list[Case]]] = {}
    for case in cases:
        group = made.setdefault((case.saga, case.pattern, case.situation), [])
        _put(case, group)
    return [tuple(round_) for group in made.values() for round_ in group]


def _put(case: Case, group: list[list[Case]]) -> None:
    deaths = MOST_DEATHS if case.process.endswith(".worker") else MOST_DEATHS_OF_WEB
    most = deaths.get(case.situation, 1)
    for round_ in group:
        if sum(other.process == case.process for other in round_) < most:
            round_.append(case)
            return
    group.append([case])


def reached_in(point: str) -> list[str]:
    """Where a point is a case, for the document: `orchestrated: pagos.web, carrito.web`."""
    found: dict[str, dict[str, None]] = {}
    for case in all_cases():
        if case.point.partition(" of ")[0] == point:
            found.setdefault(case.pattern, {})[case.process] = None
    return [f"{pattern}: {', '.join(processes)}" for pattern, processes in found.items()]
