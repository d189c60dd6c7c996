"""Runs all of Dueto on one machine: PostgreSQL, RabbitMQ and every process of the services.

Owns: the `.dueto/` folder of a clone (data, logs, the record of the current run).
Offers: `stack.local.LocalStack`, `manage.py up | down | status`, `python -m stack.backing`.
Knows the services only as data (`catalogue.services`) and imports none of them.
"""
