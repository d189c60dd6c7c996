"""Whether the shop is right: what must always hold (docs, "What must always hold"), checked from
the services' own tables with plain SQL, a database each; nothing of the services' code is used.

`evidence`  what all services know of each saga, side by side
`generic`   what must hold for any saga, from its page, the barriers, and its owner's and its
            coordinator's rows
`rest`      what must be empty once nothing runs, keys and events; waiting until nothing runs
`services`  what must hold at a service, a module each: stock, money, carts, couriers
`sagas`     what must hold for one saga beyond that, a function a saga
`checking`  runs all of it, refuses what no rule knows of, and tells what was found
`story`     one saga for a reader: what happened to it, when, and who asked for what
`reading`   the services' databases, whole tables at a time
"""
