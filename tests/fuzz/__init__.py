"""Random and mutated requests to every door, random and mutated messages to every consumer, on the
real code and PostgreSQL, in one thread.

`values` makes and mutates JSON, `doors` finds the doors in the URL configuration, `shop` knows
valid requests and messages from recording some. `make fuzz` tries 100,000 of each.
"""
