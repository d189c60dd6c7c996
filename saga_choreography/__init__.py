"""saga_choreography: PATTERN 2. It only watches.

There is no orchestrator: each service reacts to what the others publish, as the saga's page tells.
A saga's own service publishes its first event, and this one learns of the saga from that. With it
stopped every saga still ends right. It tells where a saga stands, and helps one that stands still.

Owns         choreographed sagas, their trail of events, what people asked of them
Offers       where a saga stands, with its trail; abort, return, retry, skip
Reacts to    every event of every saga, by writing it down (`tracking`); a service's giving up, by
             an abort, or by parking the saga (`watchdog`)
Publishes    a saga's request for its abort or its return; to its services, that the last event of
             one that stands still be said again (`watchdog`), or that a person has seen to a step
"""
