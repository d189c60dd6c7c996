"""Runs all of Dueto on one machine: PostgreSQL, RabbitMQ, every process, and their end.

Owns: the `.dueto/` folder of a clone (data, logs, what is running).
Offers: `stack.local.LocalStack`, `manage.py up | down | status`, `python -m stack.backing`.
Knows the services only as data (`catalogue.services`) and imports none of them.
"""
