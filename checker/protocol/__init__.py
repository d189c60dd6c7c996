"""The protocol check proves, from the events and reactions, that every path of a saga ends right.

    manage.py sagas show NAME  everything that is derived from a saga's definition, in tables
    manage.py sagas check      the proof, for all sagas, from what the services have registered
    manage.py sagas graph      the same, drawn; --automaton: the states ok and error

To check a saga of your own, describe it as plain data for the same rules; nothing else of the shop
is needed, and nothing runs:

    from checker.protocol import checking
    from checker.protocol.description import Choreography, Ending, Reaction

    trip = Choreography(
        name="trip",
        saga=Saga(name="trip", steps=(...), ...),         # as in catalogue
        reactions=[Reaction("trip.asked", "flights", DO, "book", "flight.booked", "trip.off"),
                   ...],
        asked={"trip.asked": "website"},                  # published from outside the chain
        start="trip.asked",
        ends={"trip.booked": Ending.COMPLETED, "trip.off": Ending.UNDONE},
    )
    print(checking.check(protocols=[trip]).as_text())

or, with a function that returns `[trip]`, `manage.py sagas check --protocols my.trips.protocols`.

`description`   a protocol as plain data, choreographed or orchestrated; the type of a rule
`wired`         the catalogue's protocols, read from what the services have registered
`journeys`      the type of a journey, and a pure model of the barrier
`walking`       every journey of a choreographed saga, through every order of messages in flight
`orchestrating` every journey of an orchestrated saga, through the real engine
`definition`    the rules on a saga's definition: everything that it names exists
`wiring`, `paths`       the rules on publishers and consumers, and on every journey
`checking`      all rules, and the report
`showing`, `pictures`   the tables, and the flowcharts and automata
"""
