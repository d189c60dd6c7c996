"""Load on the real stack while its processes, its database and its broker are killed.

Offers: `manage.py soak`. A saga in each pattern gets a fresh stack, load at a fixed rate, faults
from a seed, and at the end a time to drain, the audit, and a look at what shoppers were told.

`shoppers`   ask for each saga at its time, until it is accepted; people decide
`watching`   what is seen from outside: progress, memory, and what shoppers were told
`rounds`     one pattern's soak, broken by `loadtests.faults`
`results`    what came of it, how long each recovery took, and the report (pure)
"""
