"""What long commands have alike: how they explain themselves, say how far they are, and fail."""

import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser

from loadtests.load.generator import GeneratorFailed
from loadtests.load.supplies import NotSupplied
from loadtests.measuring.samples import NotMeasured
from messaging.brokers import BrokerUnavailable
from stack.console import StackError


class ExplainedCommand(BaseCommand):
    """Its help has paragraphs and examples, which stay as they are written."""

    def create_parser(self, *args: Any, **options: Any) -> CommandParser:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **options)

    def say(self, line: str) -> None:
        """Progress: beside the result, and at once."""
        self.stderr.write(line)
        self.stderr.flush()


class MeasuringCommand(ExplainedCommand):
    """Runs load on a stack of its own."""

    @contextmanager
    def measuring(self, *, if_stopped: str) -> Iterator[None]:
        """Whatever ends a measurement without a result ends the command, and is said in words."""
        try:
            yield
        except (StackError, NotSupplied, GeneratorFailed, NotMeasured) as error:
            raise CommandError(str(error)) from error
        except (psycopg.Error, BrokerUnavailable) as error:
            raise CommandError(f"The stack stopped answering: {error}") from error
        except KeyboardInterrupt:
            self.say(f"stopped: {if_stopped}")
            sys.exit(130)
