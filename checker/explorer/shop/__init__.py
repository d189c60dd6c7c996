"""The worlds of this shop: its real code on tables in memory, and whatever can go wrong with it.

Real are reactions, `perform`, the barrier's rules, the operations with their decisions, consumer,
relay, tracking, watchdog, hand-over and the memory broker. Only the SQL is replaced, function by
function (`memory`), and time.

To put a bug in, patch the real code (`messaging.consumer.Consumer`, `sagas.barrier`, a service's
`reactions.REACTIONS`, ...) before the worlds are made, and explore; to weaken what PostgreSQL does,
patch `checker.explorer.store.Store`:

    monkeypatch.setattr(watchdog, "_nudge", lambda sagas, trails: None)
    with worlds.in_memory() as made:
        failure = Explorer(worlds=made, schedules=4_000, seed=7).explore().failure
"""
