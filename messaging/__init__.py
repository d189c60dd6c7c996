"""Events out and in: a service publishes its own events, and receives those of other services.

Out:  `outbox` (a row of the business transaction) -> `relay` -> `brokers`
In:   `brokers` -> `consumer` -> `handlers` (event -> operation -> next event) -> `outbox`;
      `reactions`: which events a service handles
Else: `failed` (messages that are retried or dead-lettered), `wakeups` (notify and listen),
      `worker` (runs all components)
"""
