"""saga_temporal: PATTERN `temporal`. The same rows of a saga's page, on Temporal.

One workflow interprets any page (`workflow`): its id is the saga's, what follows from an answer is
the engine that the orchestrator has too (`coordination.engine`), a step is an activity that calls
the participant's door under the barrier's key, a decision and what a person asks are signals, and
deadlines are timers. Temporal has each saga's progress; the rows here are what people, the audit
and the dashboard see of it, written before each next call.

It is there where DUETO_TEMPORAL=1 says so, and its worker alone knows Temporal: what comes in by
its doors is a row first, and the worker passes it on (`courier`).

Owns         sagas (where each stands), their steps, definitions, interventions
Offers       the hand-over of sagas; look, list, compensate (stop, or return); retry and skip
             for a parked saga
Calls        the services of each saga's page, over HTTP; Temporal's server
Reacts to    nothing: no message tells it anything
Publishes    nothing

Read a saga's page first, then `workflow`, `activities` (who does it), `courier`, `store`.
"""
