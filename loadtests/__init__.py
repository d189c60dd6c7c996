"""Sees the shop from outside: load, measurements, the comparison of the patterns, the audit.

Offers: `locust -f loadtests/locustfile.py` (a load test by hand), `manage.py compare`,
`manage.py outage`, `manage.py survey`, `manage.py choose`, `manage.py rivals`,
`manage.py audit`.
But for `floor` it imports no service: it talks HTTP to them like any shopper, and reads their
databases for how things ended and what they cost.

From the shop upwards:

`shop`        where a running stack is
`load`        what is sent, and when
`measuring`   what is read of it
`audit`       whether the shop is right
`evaluating`  what measurements say; pure
`running`     windows of load on a stack of one's own
`drawing`     what a stored run looks like
`faults`      breaks a running stack on purpose
`outages`     a participant is away
`comparing`   the patterns side by side
`surveying`   many cells of load, refusals, steps and distance
`choosing`    which pattern to take
`rivals`      the same checkout on what others have built
`floor`       the same checkout without a saga, for a benchmark: made of the shop itself
"""
