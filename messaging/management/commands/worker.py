"""`manage.py worker`: the background process of a service."""

import sys
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from messaging.brokers import Broker, connect
from messaging.brokers.latency import LatencyBroker
from messaging.consumer import refuse_login
from messaging.wakeups import Listener
from messaging.worker import Worker
from participant import failpoints, sessions, starting, tracing


class Command(BaseCommand):
    help = "Runs the background process of one service: its consumer, its relay, its runners."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--service", default=settings.SERVICE, help="default: DUETO_SERVICE of the environment"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        service = options["service"]
        offered = {
            config.label: config.worker_components
            for config in apps.get_app_configs()
            if hasattr(config, "worker_components")
        }
        if service not in offered:
            raise CommandError(
                f"DUETO_SERVICE is {service!r}; a worker runs one of: {', '.join(sorted(offered))}."
            )
        starting.require_safe()
        sessions.require(alias=service)
        failpoints.listen(process=f"{service}.worker")
        tracing.start(service=service)
        broker = configured_broker()
        if reason := refuse_login(broker=broker, service=service):
            raise CommandError(f"{reason}.")
        if seconds := getattr(settings, "HOP_SECONDS", 0):
            broker = LatencyBroker(broker, seconds=seconds)
        components = [Listener(service=service), *offered[service](broker)]
        try:
            status = Worker(service=service, components=components).run()
        finally:
            broker.close()
        sys.exit(status)


def configured_broker() -> Broker:
    """The broker that the settings name. Raises CommandError if its URL can't be read."""
    try:
        return connect(settings.BROKER_URL)
    except ValueError:  # whose text may have a part of the password in it
        raise CommandError(
            "RABBITMQ_URL can't be read. It looks like amqp://user:password@host:5672/%2F, or"
            " for a broker of several nodes amqp://user:password@host:5672,host:5672/%2F, with"
            " special characters percent-encoded (%40 for an @ in the password): correct it in the"
            " environment, or unset it."
        ) from None
