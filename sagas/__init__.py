"""Taking part in a saga: `perform`, the one way into an operation, and the barrier behind it.

    from sagas.operations import step, undo
    from sagas.performing import perform

    @step(service="inventario", name="reserve_inventory", command=Reserve)
    def reserve(commands): ...            # lock, decide, write; one outcome a command

    outcomes = perform(operation=reserve, commands=[...])

To lift it into another shop: this package, `contracts`, and a table made from
`sagas.models.BarrierEntry` in each service.
"""
