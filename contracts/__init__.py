"""What travels between services, in plain Python: no Django, no HTTP, no AMQP.

`saga`        a saga's definition, the commands and the context of its steps, and the registry of
              the business's sagas: read `catalogue/checkout.py` first
`projection`  what follows from a definition: reactions, calls, requests, commands
`patterns`    how a saga may be coordinated
`outcomes`    the outcomes of a step: done, refused with a code, or waiting
`refusals`    the codes that any saga may meet
`events`      the events of a saga, in their envelope
`states`      the states of a saga and its steps, and how they are answered
`doors`       what a door takes, gives and refuses, and who may call it
`bounds`      the limits of incoming texts, numbers, money and lists
"""
