"""Breaks a running stack on purpose: for `manage.py soak` and `manage.py outage`.

`plan`       which faults, on whom and when: kinds, targets, and a plan from a seed (pure)
`injector`   makes them, each at its time, on the stack's own processes alone
`outsider`   what any client with a login can do to its servers: plain AMQP, and plain SQL
"""
