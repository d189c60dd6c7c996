"""The shop's settings and one more app, which has each of its processes think that it is later."""
