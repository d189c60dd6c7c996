"""Taking part in a saga: `perform`, the one way into an operation, and the barrier behind it.

    from participant.operations import does, undoes
    from participant.performing import perform

    @does(service="inventario")
    def reserve(commands): ...            # lock, decide, write; one outcome a command

    @undoes(reserve)
    def unreserve(commands): ...

    outcomes = perform(operation=reserve, commands=[...])

To lift it into another shop: this package, `contracts`, and a table made from
`participant.models.BarrierEntry` in each service.
"""
