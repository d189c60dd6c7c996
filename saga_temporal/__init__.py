"""saga_temporal: PATTERN `temporal`. The same saga definitions, run on Temporal.

One workflow interprets any definition (`workflow`): its id is the saga's, the orchestrator's engine
decides its transitions (`coordination.engine`), a step is an activity that calls the participant's
door under the barrier's key, decisions and interventions are signals, and deadlines are timers.
Temporal has each saga's progress; the rows here show it to people, the audit and the dashboard, and
are written before the next call.

It runs only with DUETO_TEMPORAL=1, and only its worker knows Temporal: its doors write rows, and
the worker passes them on (`courier`).

Owns         sagas (where each stands), their steps, definitions, interventions
Offers       the hand-over of sagas; look, list, compensate (stop, or return); retry and skip
             for a parked saga
Calls        the services that each saga's definition names, over HTTP; Temporal's server
Reacts to    nothing: it receives no messages
Publishes    nothing

Read a saga's definition first, then `workflow`, `activities` (makes the calls), `courier`, `store`.
"""
