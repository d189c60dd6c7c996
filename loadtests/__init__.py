"""Tests the shop from outside: load, measurements, the comparison of the patterns, the audit.

Offers: `locust -f loadtests/locustfile.py` (a load test by hand), `manage.py compare`,
`manage.py outage`, `manage.py survey`, `manage.py choose`, `manage.py capacity`,
`manage.py rivals`, `manage.py audit`.
Except in `floor` it imports no service: it talks HTTP to them like any shopper, and reads outcomes
and costs from their databases.

From the bottom up:

`shop`        the addresses of a running stack
`load`        what is sent, and when
`measuring`   what is read from the shop
`audit`       checks whether the shop's data is correct
`evaluating`  from measurements to figures and decisions; pure
`running`     windows of load on a stack of their own
`drawing`     a stored run as page and as text
`faults`      injects faults into a running stack
`outages`     a participant is stopped for a while
`comparing`   the patterns side by side
`surveying`   many combinations of load, refusals, steps and hop delay
`choosing`    recommends a pattern
`rivals`      the same checkout on other products
`floor`       the same checkout without a saga, as a baseline: built from the shop itself
"""
