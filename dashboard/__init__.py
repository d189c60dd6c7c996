"""The dashboard (port 8080): what the sagas of every pattern do, and what a person may do to them.

It reads the services' tables by statements of its own (`store`), asks their /health and the
coordinators' API, and changes nothing but by that API, as any operator would.
"""
