"""Events out and in: what a service says, and how it hears what others say.

Out:  `outbox` (a row of the business transaction) -> `relay` -> `brokers`
In:   `brokers` -> `consumer` -> `reactions` (which operation, what is said then) -> `outbox`
Aside: `parking` (messages that need a person), `wakeups` (wakes a relay), `worker` (runs it all)
"""
