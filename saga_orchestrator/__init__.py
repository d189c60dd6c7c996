"""saga_orchestrator: PATTERN 1. One orchestrator tells every service what to do, one step at a
time.

A saga goes over one of two transports, with the same engine and the same log: calls over HTTP
(`orchestrated`), or the same calls as messages (`orchestrated_messaging`, the control that tells
what the transport costs from what the coordination costs).

Owns         sagas (where each stands), their steps, definitions, interventions, runners
Offers       the hand-over of sagas; look, list, compensate (stop, or return); retry and skip
             for a parked saga
Calls        the services of each saga's page, over HTTP, in batches
Asks         them by message
Reacts to    every reply to a request, and step.parked, by moving its saga on (`messages`)
Publishes    the requests, of sagas that go by message only (`messages`)

Read a saga's page first (catalogue: who is told what), then `engine` (what follows from
an answer), `executor` (who does it), `store` (what is written, before each next call).
"""
