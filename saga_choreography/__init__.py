"""saga_choreography: PATTERN 2. It only watches.

There is no orchestrator: each service reacts to what the others say, as the saga's page tells. A
saga's own service says its first event, and this one learns of the saga from that. With it stopped
every saga still ends right. It tells where a saga stands, and helps one that stands still.

Owns         choreographed sagas, their trail of events, what people asked of them
Offers       where a saga stands, with its trail; abort, return, retry, skip
Reacts to    every event of every saga, by writing it down (`tracking`); a service's giving up, by
             an abort, or by parking the saga (`watchdog`)
Publishes    a saga's request for its abort or its return; what a person has skipped; the last event
             of a saga that stands still, again (`watchdog`)
"""
