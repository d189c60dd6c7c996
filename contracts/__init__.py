"""What travels between services, in plain Python: no Django, no HTTP, no AMQP.

`outcomes`  what an operation answers: done, or refused with a code
`refusals`  the codes
`commands`  what a service may be asked to do
`events`    what a service says has happened
`requests`  what a conductor asks for by message, and what the answers are called
`statuses`  the words for the state of a saga and of its steps
`sagas`     the sagas as data: steps, undos, class of each step
`bounds`    what may come in: the limits of texts, numbers, money and lists
`money`     amounts
"""
