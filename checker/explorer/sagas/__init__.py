"""The environments of the catalogue's sagas, each in every pattern: a new saga is explored from its
definition alone.

    manage.py sagas explore --saga shipment --pattern choreographed

Real: the reactions, `execute`, the barrier's rules, consumer, relay, tracking, watchdog, runner,
executor, engine and the memory broker. Simulated: the operations (`participants`): a step leaves a
row, refuses by script, or takes a unit of a scarce resource. Replaced: the SQL, function by
function (`memory`, `memory_of_coordinators`), and time (`environments`).

`scenarios`    what is run: one saga, a refused one, two for one unit; the limits of faults
`participants` the operations of any saga; `rules`: invariants of their effects
`backend`      the state of an environment: in `memory`; `postgres`: with the real SQL
`environments` all environments by name; the possible next events are in `messages`, `calls`,
               `deciding`, and `coordinators` (by pattern)

To inject a bug, patch the real code (`messaging.consumer.Consumer`, `participant.barrier`, ...)
before the environments are made, and explore; to weaken the database, patch
`checker.explorer.store.MemoryStore`:

    monkeypatch.setattr(watchdog, "_redrive", lambda sagas, trails, now: None)
    with environments.in_memory() as made:
        failure = Explorer(environments=made, schedules=4_000, seed=7).explore().failure
"""
