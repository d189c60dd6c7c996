"""Load on the real stack while its processes, its database and its broker are killed.

Offers: `manage.py soak`. A saga in each pattern gets a fresh stack, load at a fixed rate, faults
from a seed, and at the end a time to drain, the audit, and a look at what shoppers were told.

`plan`       which faults, on whom and when (pure)
`faults`     makes them, with `outsider` (a plain AMQP client, and one of SQL)
`shoppers`   asks for each saga at its time, until it is accepted
`people`     say yes or no where a step waits for them, or let it pass
`watching`   what is seen from outside: progress, memory, and what shoppers were told
`rounds`     one pattern's soak
`results`    what came of it, how long each recovery took, and the report (pure)
"""
