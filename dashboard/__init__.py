"""The dashboard (port 8080): shows the sagas of every pattern, and lets operators act on them.

It reads the services' tables by statements of its own (`store`), their /health and the
coordinators' API. It changes sagas only by that API, as any operator would.
"""
