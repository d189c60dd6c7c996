"""Events out and in: what a service says, and how it hears what others say.

Out:  `outbox` (a row of the business transaction) -> `relay` -> `brokers`
In:   `brokers` -> `consumer` -> `reactions` (which operation, what is said then) -> `outbox`
Else: `failed` (messages to be retried, or dead-lettered), `wakeups` (notify and listen), `worker`
      (runs it all)
"""
