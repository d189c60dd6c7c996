"""The shop's settings and one more app, which has each of its processes think that it is later."""

VARIABLE, SKEW = "DUETO_TEST_SKEW", 130
"""In the environment of a process, and seconds."""
