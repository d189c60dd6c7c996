"""What travels between services, in plain Python: no Django, no HTTP, no AMQP.

`catalogue`   THE SAGAS, a page each: read `catalogue/checkout.py` first
`saga`        what a page is made of: saga, step, class of a step
`projection`  what follows from a page: reactions, calls, requests, commands
`services`    who there is; `patterns`: how a saga may be coordinated
`context`     what a saga is about, as its steps see it
`commands`    what a service may be asked to do; `outcomes`: done, or refused with a code
`refusals`    the codes; `events`: what a service says has happened, in its envelope
`states`      where a saga stands: the words, and how it is answered
`bounds`      what may come in: the limits of texts, numbers, money and lists
"""
