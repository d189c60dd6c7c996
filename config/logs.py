"""Structured logs: one JSON object a line, with the saga it is about where there is one."""

import logging
from typing import Any


class OnlyBugs(logging.Filter):
    """Leaves out answers of 503: they are meant, and whoever gives one logs its cause."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", None) != 503


def logging_config(*, service: str, style: str) -> dict[str, Any]:
    """Django's LOGGING. `style`: "json" (one object a line) or "text" (for a person's terminal)."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
                "rename_fields": {"asctime": "at", "levelname": "level", "name": "logger"},
                "static_fields": {"service": service},
            },
            "text": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"},
        },
        "filters": {"only_bugs": {"()": OnlyBugs}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": style}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
        # 4xx answers are the callers' matter; the views log what is ours.
        "loggers": {
            "django.request": {"level": "ERROR", "filters": ["only_bugs"]},
            "pika": {"level": "WARNING"},
        },
    }
