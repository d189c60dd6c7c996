"""saga_orchestrator: PATTERN 1. One conductor tells every service what to do, one step at a time.

Owns         sagas (where each stands), their steps, definitions, interventions, runners
Offers       the hand-over of a checkout; look, list, compensate (stop, or return); retry and skip
             for a parked saga
Calls        carrito, inventario, pagos, over HTTP, in batches
Reacts to    nothing
Publishes    nothing

Read `checkout` first (who is told what), then `engine` (what follows from an answer), `runner`
(who does it), `sagalog` (what is written, before each next call).
"""
