"""What ends a measurement before it has a result."""


class NotMeasured(Exception):
    """The run can't go on; the text says why."""
