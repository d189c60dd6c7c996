"""Load on the real stack while its processes, its database and its broker are killed.

Offers: `manage.py soak`. Each pattern gets a fresh stack, load at a fixed rate, faults from a seed,
and at the end a time to drain, the audit, and checks of the soak's own.

`plan`       which faults, on whom and when (pure)
`faults`     makes them, with `detours` (cut connections) and `outsider` (a plain AMQP client)
`shoppers`   asks for each checkout at its time, until it is accepted
`watching`   what is seen from outside meanwhile: progress, memory
`ledger`     what the services' tables say in the end; `checks`: what must be true of it (pure)
`recovery`   how long the shop took to recover from each fault (pure)
`rounds`     one pattern's soak; `report`: what it was, for people and for programs
"""
