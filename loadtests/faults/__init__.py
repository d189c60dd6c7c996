"""Injects faults into a running stack: for `manage.py soak` and `manage.py outage`.

`plan`       kinds and targets of faults, and a plan from a seed (pure)
`injector`   makes each fault at its time, on the stack's own processes only
`outsider`   what any client with a login can do to the servers: plain AMQP, and plain SQL
"""
