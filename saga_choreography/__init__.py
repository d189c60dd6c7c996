"""saga_choreography: PATTERN 2. It starts the chain, and from then on only watches.

Nobody conducts: each service reacts to what the others say (`checkout` has who listens to what).
Nothing depends on this service once `checkout.initiated` is out: with it stopped, every checkout
still ends right. It tells where a saga stands, and helps one that stands still.

Owns         choreographed sagas, their trail of events, what people asked of them
Offers       POST /saga/choreography/checkout; where a saga stands, with its trail; abort, return
Reacts to    every event of the checkout, by writing it down (`tracking`); a service's giving up, by
             an abort, or by parking the saga (`giving_up`)
Publishes    checkout.initiated, checkout.abort.requested, checkout.return.requested;
             the last fact of a saga that stands still, again (`watchdog`)
"""
