"""Shared by long commands: their help and options, progress, and errors."""

import secrets
import sys
import textwrap
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)

from loadtests.load.generator import GeneratorFailed
from loadtests.load.workload import NotSupplied
from loadtests.measuring.samples import NotMeasured
from messaging.brokers import BrokerUnavailable
from stack.console import StackError

WIDTH = 79


class ExplainedFormatter(DjangoHelpFormatter):
    """A command's own options before Django's; paragraphs filled to the width of a terminal,
    examples (which are indented) as written."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=WIDTH)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        return "\n\n".join(
            paragraph
            if paragraph.startswith(" ")
            else textwrap.fill(" ".join(paragraph.split()), width)
            for paragraph in paragraphs
        )


class ExplainedCommand(BaseCommand):
    """A command whose help has paragraphs and examples."""

    def create_parser(self, *args: Any, **options: Any) -> CommandParser:
        return super().create_parser(*args, formatter_class=ExplainedFormatter, **options)

    def say(self, line: str) -> None:
        """Prints progress, to stderr and at once."""
        self.stderr.write(line)
        self.stderr.flush()


class MeasuringCommand(ExplainedCommand):
    """A command that runs load on a stack of its own."""

    @contextmanager
    def measuring(self, *, if_stopped: str) -> Iterator[None]:
        """Turns whatever ends a measurement without a result into an error of the command."""
        try:
            yield
        except (StackError, NotSupplied, GeneratorFailed, NotMeasured) as error:
            raise CommandError(str(error)) from error
        except (psycopg.Error, BrokerUnavailable) as error:
            raise CommandError(f"The stack stopped answering: {error}") from error
        except KeyboardInterrupt:
            self.say(f"stopped: {if_stopped}")
            sys.exit(130)


def add_valued(parser: CommandParser) -> Callable[..., None]:
    """Adds options whose help shows the default: as `words`, or else as the value."""

    def add(
        name: str, kind: Callable[[str], Any], usual: Any, about: str, words: str = "", **more: Any
    ) -> None:
        shown = words or ("%(default)g" if isinstance(usual, float) else "%(default)s")
        text = f"{about} (default: {shown})"
        parser.add_argument(name, type=kind, default=usual, help=text, **more)

    return add


def add_seed(parser: CommandParser, *, of: str) -> None:
    """Adds --seed. `of`: what it determines."""
    parser.add_argument(
        "--seed",
        type=int,
        default=secrets.randbelow(10**6),
        help=f"of {of} (default: a new one, which is reported)",
    )


def positive(text: str) -> float:
    """The type of an option: a number above 0."""
    return _within(_number(text), lambda value: value > 0, "must be above 0")


def between(least: float, most: float, *, unit: str = "") -> Callable[[str], float]:
    """The type of an option: a number in this range, with or without its unit."""
    return lambda text: _within(
        _number(text, unit=unit),
        lambda value: least <= value <= most,
        f"must be from {least:g} to {most:g}{unit}",
    )


def milliseconds(text: str) -> float:
    """The type of an option: 2ms or 2."""
    return _number(text, unit="ms")


def _number(text: str, *, unit: str = "") -> float:
    try:
        return float(text.removesuffix(unit))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number like 2{unit}") from None


def _within(value: float, is_right: Callable[[float], bool], otherwise: str) -> float:
    if not is_right(value):
        raise ArgumentTypeError(f"{otherwise}, not {value:g}")
    return value
