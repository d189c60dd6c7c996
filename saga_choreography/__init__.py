"""saga_choreography: PATTERN 2. It only watches.

There is no orchestrator: each service reacts to the events of the others, as the saga's definition
says. A saga's owner publishes its first event, from which this service learns of it. Sagas end
correctly while this service is stopped. It shows where a saga stands, and redrives stalled sagas.

Owns         choreographed sagas, their trail of events, interventions
Offers       where a saga stands, with its trail; abort, return, retry, skip
Reacts to    every event of every saga, by recording it (`tracking`); a notice that a service has
             given up, by an abort, or by parking the saga (`reactions`)
Publishes    the request for a saga's abort or return; the request that a service publish its last
             event again (`watchdog`), or go on without a step that an operator has seen to
"""
