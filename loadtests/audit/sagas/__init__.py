"""What must hold for one saga beyond what holds for any: in each service's own rows, what completed
and what did not. A module a saga, found by its name, with `breaches`; none where nothing is to add.
"""
