"""saga_orchestrator: PATTERN 1. One orchestrator commands every service, one step at a time.

A saga uses one of two transports, with the same engine and the same log: calls over HTTP
(`orchestrated`), or the same calls as messages (`orchestrated_messaging`, the control that
separates the cost of the transport from the cost of the coordination).

Owns         sagas (where each stands), their steps, definitions, interventions, runners
Offers       the hand-over of sagas; look, list, compensate (stop, or return); retry and skip
             for a parked saga
Calls        the services that each saga's definition names: over HTTP, in batches, or by message
Reacts to    every reply to a request, and the notices that a step waits or is parked, by moving
             the saga on (`messages`)
Publishes    the requests of sagas that go by message (`messages`)

Read a saga's definition first (catalogue: which service does which step), then `engine` (the
transition that follows from a result), `executor` (makes calls and transitions), `store` (what is
written before the next call).
"""
