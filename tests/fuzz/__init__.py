"""Whatever comes in: random and mutated requests at every door, random and mutated messages at
every consumer, on the real code and PostgreSQL, in one thread.

`values` makes and mutates JSON, `doors` finds the doors in the URL configuration, `shop` knows
valid requests and messages, because it has watched some go by. `make fuzz` tries 100,000 of each.
"""
