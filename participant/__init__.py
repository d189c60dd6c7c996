"""Taking part in a saga: `execute`, the one way into an operation, and the barrier behind it.

    from participant.operations import does, undoes
    from participant.executing import execute

    @does(service="inventario")
    def reserve(commands): ...            # lock, decide, write; one outcome a command

    @undoes(reserve)
    def unreserve(commands): ...

    outcomes = execute(operation=reserve, commands=[...])

To lift it into another shop: this package, `contracts`, and a table made from
`participant.models.BarrierEntry` in each service (tests/kit/trip is such a shop).
"""
