"""The environments of the sagas of the catalogue, each in every pattern: a new page is explored for
free.

    manage.py sagas explore --saga shipment --pattern choreographed

Real are the reactions, `execute`, the barrier's rules, consumer, relay, tracking, watchdog, runner,
executor, engine and the memory broker. Made up is what the participants do (`participants`): a
step leaves a row, refuses by script, or takes one of a scarce thing. Only the SQL is replaced,
function by function (`memory`, `memory_of_coordinators`), and time (`environments`).

`scenarios`    what is run: one saga, a refused one, two for one unit; how much may go wrong
`participants` operations of any page; `rules`: what must hold of what they did
`backend`      how an environment begins and stands: in `memory`; `postgres`: with the real SQL
`environments` all of them, by name, and who may do what next: `messages`, `calls`, `deciding`, and
               `coordinators`, what is special to a pattern

To put a bug in, patch the real code (`messaging.consumer.Consumer`, `participant.barrier`, ...)
before the environments are made, and explore; to weaken what PostgreSQL does, patch
`checker.explorer.store.Store`:

    monkeypatch.setattr(watchdog, "_redrive", lambda sagas, trails, now: None)
    with environments.in_memory() as made:
        failure = Explorer(environments=made, schedules=4_000, seed=7).explore().failure
"""
