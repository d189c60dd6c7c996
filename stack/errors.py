"""What goes wrong with a local stack, said so that the reader can mend it."""


class StackError(Exception):
    """The stack can't run: the message names what, why, and what to do."""
