"""The protocol check: from who publishes and consumes what, that every path of a saga ends right.

    manage.py sagas show NAME  all that follows from a saga's page, in tables
    manage.py sagas check      what is proven of all sagas, as they are really wired
    manage.py sagas graph      the same wiring, drawn; --automaton: the states ok and error

To check a saga of your own, describe it as plain data and let the same rules look at it; nothing
else of the shop is needed, and nothing runs:

    from checker.protocol import checking
    from checker.protocol.description import Choreography, Ending, Reaction

    trip = Choreography(
        name="trip",
        saga=Saga(name="trip", steps=(...), ...),         # as a page of catalogue
        reactions=[Reaction("trip.asked", "flights", DO, "book", "flight.booked", "trip.off"),
                   ...],
        asked={"trip.asked": "website"},                  # published from outside the chain
        start="trip.asked",
        ends={"trip.booked": Ending.COMPLETED, "trip.off": Ending.UNDONE},
    )
    print(checking.check(protocols=[trip]).as_text())

or, with a function that returns `[trip]`, `manage.py sagas check --protocols my.trips.protocols`.

`description`   a protocol as plain data: choreographed, or orchestrated; and what a rule is
`wired`         those of the catalogue, read from what the services have registered
`journeys`      what a journey is, and what the barrier promises on it, as a pure model
`walking`       every journey of a choreographed saga, through every order of what is in flight
`orchestrating` every journey of an orchestrated one, through the real engine
`page`          the rules on a saga's page: whether all that it names is there
`wiring`, `paths`       the rules on who publishes and consumes what, and on every journey
`checking`      all of them, and the report
`showing`, `pictures`   the tables, and the flowcharts and automata
"""
