"""The shop's settings and one more app, which sets the clock of each of its processes ahead."""

VARIABLE, SKEW = "DUETO_TEST_SKEW", 130
"""In the environment of a process, and seconds."""
