"""What travels between services, in plain Python: no Django, no HTTP, no AMQP.

`saga`        what a page is made of, what its steps are asked and see, and the business's sagas,
              which its catalogue registers: read `catalogue/checkout.py` first
`projection`  what follows from a page: reactions, calls, requests, commands
`patterns`    how a saga may be coordinated
`outcomes`    what a step answers: done, or refused with a code
`refusals`    the codes that any saga may meet
`events`      what a service publishes has happened, in its envelope
`states`      where a saga stands: the words, and how it is answered
`doors`       what a door takes, gives and refuses, and whose it is
`bounds`      what may come in: the limits of texts, numbers, money and lists
"""
