"""Which process comes to which point, in which pattern and scene: the crash cases, as data.

A point without a case fails `tests/architecture/test_points.py`; a process that comes to a point
without being killed there fails `test_crash_points.py`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

ORCHESTRATED, CHOREOGRAPHED = "orchestrated", "choreographed"
MESSAGING = "orchestrated_messaging"


class Case(NamedTuple):
    """A process at a point. `scene`: what is going on then (`scenes`)."""

    pattern: str
    scene: str
    process: str
    point: str

    @property
    def id(self) -> str:
        return f"{self.pattern}-{self.scene}-{self.process}-{self.point.replace(' ', '_')}"


def _performing(*operations: str) -> list[str]:
    return [
        f"performing.{moment} of {one}"
        for one in operations
        for moment in ("before_commit", "after_commit")
    ]


FORWARD_AND_BACK = {
    "inventario": ["do reserve_inventory", "do commit_inventory", "undo reserve_inventory"],
    "pagos": ["do process_payment"],
    "carrito": ["do create_order", "do confirm_order", "undo accept_checkout"],
}
RETURNED = {
    "inventario": ["undo commit_inventory"],
    "pagos": ["undo process_payment"],
    "carrito": ["undo create_order"],
}
CALLING = ["client.before_call", "client.answered"]
HEARING = ["consumer.taken", "consumer.before_ack", "consumer.acked"]
SAYING = [
    "relay.before_publish",
    "publisher.before_write",
    "publisher.before_confirm",
    "relay.confirmed",
    "relay.marked",
]

Rows = dict[str, list[str]]


def _each(found: Rows, suffix: str, *, more: Sequence[str] = ()) -> Rows:
    return {f"{name}.{suffix}": [*_performing(*ops), *more] for name, ops in found.items()}


def _joined(*parts: Rows) -> Rows:
    names = [name for part in parts for name in part]
    return {
        name: [point for part in parts for point in part.get(name, [])]
        for name in dict.fromkeys(names)
    }


ACCEPTING: Rows = {
    "carrito.web": [
        *_performing("do accept_checkout"),
        "acceptance.before_wake",
        "acceptance.before_reply",
    ],
    "carrito.worker": [*CALLING, "handover.before_mark", "handover.marked"],
}

BY_MESSAGE = _each(
    FORWARD_AND_BACK,
    "worker",
    more=[*HEARING, *SAYING, "outbox.committed", "parking.before_claim"],
)
STARTING: Rows = {
    "saga_orchestrator.web": [
        "orchestration.before_start",
        "orchestration.started",
        "coordinator.before_reply",
    ],
    "saga_orchestrator.worker": [
        *("heart.before_beat", "heart.beaten", "runner.before_claim", "runner.claimed")
    ],
}
INTERVENING: Rows = {
    "saga_orchestrator.web": [
        "intervention.before_commit",
        "intervention.committed",
        "intervention.before_reply",
    ]
}

REACHED: dict[tuple[str, str], Rows] = {
    (ORCHESTRATED, "checkouts"): _joined(
        ACCEPTING,
        _each(FORWARD_AND_BACK, "web", more=["steps.before_reply"]),
        STARTING,
        {
            "saga_orchestrator.worker": [
                *(*CALLING, "conductor.before_record", "conductor.recorded")
            ],
        },
    ),
    (MESSAGING, "checkouts"): _joined(
        ACCEPTING,
        BY_MESSAGE,
        STARTING,
        {
            "saga_orchestrator.worker": [
                *("requesting.before_commit", "requesting.after_commit"),
                *("replies.before_commit", "replies.after_commit"),
                *(*HEARING, *SAYING, "outbox.committed", "parking.before_claim"),
            ],
        },
    ),
    (CHOREOGRAPHED, "checkouts"): _joined(
        ACCEPTING,
        BY_MESSAGE,
        {
            "saga_choreography.web": [
                "choreography.before_start",
                "outbox.committed",
                "choreography.started",
                "coordinator.before_reply",
            ],
            "saga_choreography.worker": [
                *HEARING,
                *SAYING,
                *("tracking.before_commit", "tracking.after_commit", "parking.before_claim"),
            ],
        },
    ),
    **{
        (pattern, "doors"): {
            "carrito.web": ["acceptance.known"],
            "saga_orchestrator.web": [*CALLING, "coordinator.before_reply_to_one"],
        }
        for pattern in (ORCHESTRATED, MESSAGING)
    },
    (CHOREOGRAPHED, "doors"): {
        "carrito.web": ["acceptance.known"],
        "saga_choreography.web": [*CALLING, "coordinator.before_reply_to_one"],
    },
    (ORCHESTRATED, "returned"): _joined(_each(RETURNED, "web"), INTERVENING),
    (MESSAGING, "returned"): _joined(_each(RETURNED, "worker"), INTERVENING),
    (MESSAGING, "stopped"): {"saga_orchestrator.worker": ["requesting.before_wake"]},
    (CHOREOGRAPHED, "returned"): _joined(
        _each(RETURNED, "worker"),
        {"saga_choreography.web": ["asking.before_commit", "asking.before_reply"]},
    ),
    (CHOREOGRAPHED, "aborted"): _joined(
        {"inventario.worker": _performing("block commit_inventory")},
        {"saga_choreography.worker": ["watchdog.before_commit", "watchdog.after_commit"]},
    ),
    (CHOREOGRAPHED, "nudged"): {
        "saga_choreography.worker": [
            "watchdog.before_commit",
            "watchdog.after_commit",
            "outbox.committed",
        ]
    },
    **{
        (pattern, "expired"): {
            "inventario.worker": ["expiry.before_commit", "expiry.after_commit"],
        }
        for pattern in (ORCHESTRATED, CHOREOGRAPHED, MESSAGING)
    },
    (ORCHESTRATED, "damaged"): {
        "carrito.worker": ["handover.before_set_aside", "handover.set_aside"],
        "carrito.web": [
            *("handover.before_retry", "handover.retried"),
            *("handover.before_discard", "handover.discarded"),
        ],
    },
    (CHOREOGRAPHED, "unreadable"): {
        "inventario.worker": ["parking.before_park", "parking.parked"],
    },
    (CHOREOGRAPHED, "faulting"): {
        "pagos.worker": [
            *("parking.before_set_aside", "parking.before_add", "parking.added"),
            *("parking.claimed", "parking.before_failed_again", "parking.failed_again"),
            *("parking.before_handled", "parking.handled"),
        ],
    },
    (CHOREOGRAPHED, "handled_late"): {
        "pagos.worker": ["parking.before_close", "parking.closed"],
    },
    (CHOREOGRAPHED, "given_up"): {
        "saga_choreography.worker": ["giving_up.before_commit", "giving_up.after_commit"],
    },
    (ORCHESTRATED, "unknown_steps"): {
        "saga_orchestrator.worker": ["runner.before_park", "runner.parked"],
    },
    (ORCHESTRATED, "stopping"): {
        "saga_orchestrator.worker": [
            "heart.before_release",
            "heart.before_sign_off",
            "heart.signed_off",
        ],
    },
    (CHOREOGRAPHED, "without_database"): {
        "pagos.worker": ["consumer.before_give_back", "consumer.given_back"],
    },
}
"""By pattern and scene: the points of each process."""

MOST_DEATHS = {"checkouts": 3, "returned": 2, "faulting": 8, "given_up": 2, "unknown_steps": 2}
"""How often one worker may die in one round of a scene, at one point after the other; else once,
where a point would not be reached any more."""
MOST_DEATHS_OF_WEB = {"checkouts": 2}
"""Of a web process: the orchestrator gives a step up that has faulted five times, and is right
then to undo what should have been sold."""


def all_cases() -> list[Case]:
    """Each process at each point that it comes to."""
    return [
        Case(pattern, scene, process, point)
        for (pattern, scene), rows in REACHED.items()
        for process, points in rows.items()
        for point in points
    ]


def one_process_each() -> list[Case]:
    """One case for each point of each pattern, shared out evenly among the processes.

    Of the control pattern, only the points that no other pattern comes to.
    """
    by_point: dict[tuple[str, str], list[Case]] = {}
    of_others = {case.point for case in all_cases() if case.pattern != MESSAGING}
    for case in all_cases():
        if case.pattern != MESSAGING or case.point not in of_others:
            by_point.setdefault((case.pattern, case.point), []).append(case)
    load: Counter[tuple[str, str]] = Counter()
    chosen: list[Case] = []
    for candidates in sorted(by_point.values(), key=len):
        case = min(candidates, key=lambda one: load[one.pattern, one.process])
        load[case.pattern, case.process] += 1
        chosen.append(case)
    return chosen


def rounds(cases: Iterable[Case]) -> list[tuple[Case, ...]]:
    """Those that can be killed in one go, while one scene goes on."""
    made: dict[tuple[str, str], list[list[Case]]] = {}
    for case in cases:
        there = made.setdefault((case.pattern, case.scene), [])
        _put(case, there)
    return [tuple(one) for there in made.values() for one in there]


def _put(case: Case, there: list[list[Case]]) -> None:
    deaths = MOST_DEATHS if case.process.endswith(".worker") else MOST_DEATHS_OF_WEB
    most = deaths.get(case.scene, 1)
    for one in there:
        if sum(other.process == case.process for other in one) < most:
            one.append(case)
            return
    there.append([case])


def reached_in(point: str) -> list[str]:
    """Where a point is a case, for the document: `orchestrated: pagos.web, carrito.web`."""
    found: dict[str, dict[str, None]] = {}
    for case in all_cases():
        if case.point.partition(" of ")[0] == point:
            found.setdefault(case.pattern, {})[case.process] = None
    return [f"{pattern}: {', '.join(processes)}" for pattern, processes in found.items()]
