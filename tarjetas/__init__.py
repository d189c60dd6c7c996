"""tarjetas: the simulated card network, outside of the company.

Owns         charges, by their callers' keys
Offers       POST /charges and /refunds, one or a list, repeatable under the same key; GET /charges,
             for reconciliation
Knows        nothing of sagas: no barrier, no messages; a saga's id is only a reference

A key belongs to its charge for `TARJETAS_KEY_SECONDS`; then it may be used again, unless its money
was refunded or the key was voided.
"""
