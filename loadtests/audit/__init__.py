"""Whether the shop is right: what must always hold (docs, "What must always hold"), checked from
the services' own tables with plain SQL, a database each; nothing of the services' code is used.

`reading`   the services' databases, whole tables at a time
`tables`    the SQL of each service's tables
`evidence`  what each service's tables know of each saga, side by side
`rules`     what must hold for one saga (pure); from `outcomes` and `causes`
`sums`      what must hold for the shop as a whole: stock, carts, keys
`rest`      what must be empty once nothing runs; waiting until nothing does
`checking`  runs all of it
`report`    what was found, for people and for programs
"""
