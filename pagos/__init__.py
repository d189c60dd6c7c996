"""pagos: who paid what, and what was given back.

Owns         payments, refunds; the simulated card network (`gateway`)
Offers       charge, refund; payments outside of any saga
Reacts to    inventory.reserved, order.create.failed, order.cancelled
Answers      payment.requested, payment.refund.requested
Publishes    payment.processed, payment.failed, payment.refunded
"""
