"""Sees the shop from outside: load, measurements, the comparison of the patterns, the audit.

Offers: `locust -f loadtests/locustfile.py` (a load test by hand), `manage.py compare`,
`manage.py audit`.
Imports no service: it talks HTTP to them like any shopper, and reads their databases for how
things ended and what they cost.
"""
