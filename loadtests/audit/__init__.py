"""Checks what must always hold (docs, "What must always hold") with plain SQL in each service's own
database; it uses none of the services' code.

`evidence`  the rows of all services on each saga, side by side
`generic`   rules for any saga, from its definition, the barriers, and the rows of its owner and
            coordinator
`rest`      what must be empty once the shop is idle, keys and events; waits until it is idle
`services`  rules for a service, a module each: stock, money, carts, couriers
`sagas`     further rules for single sagas, a function each
`checking`  runs all rules, refuses data that no rule covers, and reports breaches
`story`     the history of one saga for a reader
`reading`   reads the services' databases, whole tables at a time
"""
