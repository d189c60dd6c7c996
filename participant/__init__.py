"""Taking part in a saga: `execute`, the one way into an operation, and the barrier behind it.

    from participant.operations import does, undoes
    from participant.executing import execute

    @does(service="inventario")
    def reserve(commands): ...            # lock, decide, write; one outcome per command

    @undoes(reserve)
    def unreserve(commands): ...

    outcomes = execute(operation=reserve, commands=[...])

To use it in another shop, take this package and `contracts`, and make a table from
`participant.models.BarrierEntry` in each service (tests/kit/trip is such a shop).
"""
