"""tarjetas: the simulated card network, outside of the company.

Owns         charges, by the key that its caller names it with
Offers       POST /charges and /refunds, one or a list, again and again under the same key; GET
             /charges, to compare one's books with it
Knows        nothing of sagas: no barrier, no messages; the saga's id is a reference to it

A key stands for its charge for a stated time (`TARJETAS_KEY_SECONDS`), after which it may be used
anew; one whose money was given back, or that was voided, never again.
"""
