"""What travels between services, in plain Python: no Django, no HTTP, no AMQP.

`saga`        what a page is made of (saga, step, class of a step), what a step is asked, and the
              sagas of the business, which registers them: read `catalogue/checkout.py` first
`projection`  what follows from a page: reactions, calls, requests, commands
`patterns`    how a saga may be coordinated
`context`     what a saga is about, as its steps see it
`outcomes`    what a step answers: done, or refused with a code
`refusals`    the codes that any saga may meet
`events`      what a service says has happened, in its envelope
`states`      where a saga stands: the words, and how it is answered
`bounds`      what may come in: the limits of texts, numbers, money and lists
"""
