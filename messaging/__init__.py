"""Events out and in: how a service publishes its own, and receives those of others.

Out:  `outbox` (a row of the business transaction) -> `relay` -> `brokers`
In:   `brokers` -> `consumer` -> `reactions` (which operation, what is published then) -> `outbox`
Else: `failed` (messages to be retried, or dead-lettered), `wakeups` (notify and listen), `worker`
      (runs it all)
"""
