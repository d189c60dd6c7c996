"""Load on the real stack while its processes, its database and its broker are killed.

Offers: `manage.py soak`. In each pattern a saga gets a fresh stack, load at a fixed rate, faults
from a seed, and at the end a time to drain, the audit, and a check of the answers to shoppers.

`shoppers`   request each saga at its time, until it is accepted; people decide
`watching`   progress and memory, seen from outside; the check of the answers
`rounds`     one pattern's soak, with the faults of `loadtests.faults`
`results`    the outcome, the recovery from each fault, and the report (pure)
"""
