"""The protocol check: from who says what to whom, that every path of a saga ends right.

    manage.py sagas check      what is proven of the shop's sagas, as they are really wired
    manage.py sagas graph      the same wiring, drawn

To check a saga of your own, describe it as plain data and let the same rules look at it; nothing
else of the shop is needed, and nothing runs:

    from checker.protocol import checking
    from checker.protocol.description import Choreography, Ending, Reaction

    trip = Choreography(
        name="trip",
        saga=Saga(name="trip", steps=[...]),              # as the rows of contracts/sagas.py
        reactions=[Reaction("trip.asked", "flights", Kind.DO, "book", "flight.booked", "trip.off"),
                   ...],
        asked={"trip.asked": "website"},                  # said from outside the chain
        start="trip.asked",
        ends={"trip.booked": Ending.COMPLETED, "trip.off": Ending.UNDONE},
    )
    print(checking.check(protocols=[trip]).as_text())

or, with a function that returns `[trip]`, `manage.py sagas check --protocols my.trips.protocols`.

`description`   a protocol as plain data: choreographed, or orchestrated
`wired`         the shop's own, read from what its services have registered
`barrier`       what the barrier promises, as a pure model
`walking`       every journey of a choreographed saga, through every order of what is in flight
`conducting`    every journey of an orchestrated one, through the real engine
`wiring`, `calling`, `paths`   the rules
`checking`      all of them, and the report
`graph`, `layout`, `svg`, `mermaid`   the pictures
"""
