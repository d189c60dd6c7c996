"""One trace per saga, in every pattern: all its spans, below its shopper's request."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from catalogue import SAGAS
from contracts import projection
from contracts.saga import Direction
from tests.traces import shown, traceparent
from tests.waiting import eventually


@pytest.fixture(scope="module")
def shop(unusual_shop):
    return unusual_shop


@pytest.fixture
def traced(receiver):
    """The spans of a trace, once it is one tree that has all wanted spans."""

    def look(trace_id, wanted):
        def complete():
            spans = receiver.trace(trace_id)
            is_complete = len(roots(spans)) == 1 and wanted <= {span.name for span in spans}
            return spans if is_complete else None

        try:
            return eventually(complete, seconds=120, what=f"{wanted}")
        except AssertionError:
            raise AssertionError(f"{wanted} in\n{shown(receiver.trace(trace_id))}") from None

    return look


def steps_of(saga, *, undone_from=None):
    """The names of the services' spans: forward, and back from the step that refused."""
    steps = SAGAS[saga].steps
    last = len(steps) if undone_from is None else steps.index(SAGAS[saga].step(undone_from)) + 1
    forward = {f"do {step.operation}" for step in steps[:last]}
    if undone_from is None:
        return forward
    return forward | {f"undo {step.operation}" for step in steps[: last - 1]}


def roots(spans):
    """The spans whose parent is not in this trace."""
    known = {span.id for span in spans}
    return [span for span in spans if span.parent not in known]


def check_tree(spans, *, trace_id):
    """One tree: below the shopper's own span one request, and below that everything else."""
    known = {span.id: span for span in spans}
    assert len(known) == len(spans)
    assert {span.trace_id for span in spans} == {trace_id}
    assert [span.name for span in roots(spans)] == ["POST /checkout/saga"], shown(spans)
    saga_ids = {span.attributes["dueto.saga_id"] for span in spans}
    assert len(saga_ids) == 1
    for span in spans:
        assert span.started <= span.ended
        assert known.get(span.parent, span).started <= span.started, "a cause comes first"


def test_every_step_of_a_completed_saga_has_a_span(shop, traced, pattern):
    trace_id, header = traceparent()
    cart = shop.cart(product=shop.product(quantity=1))
    saga_id = shop.check_out(cart, pattern, traceparent=header)[1]["saga_id"]
    assert shop.ended(saga_id)["status"] == "completed"
    steps = SAGAS["checkout"].steps
    wanted = steps_of("checkout")
    match pattern:
        case "choreographed":
            wanted |= {f"send {step.done}" for step in steps}
        case "orchestrated":
            calls = [projection.path_of(step, Direction.DO) for step in steps[1:]]
            wanted |= {f"call {path}" for path in calls} | {"hand over /sagas", "start"}
        case "orchestrated_messaging":
            requests = [projection.request_of(step, Direction.DO) for step in steps[1:]]
            wanted |= {f"send {request}" for request in requests}
            wanted |= {f"send {projection.reply_to(request)}" for request in requests}
            wanted |= {f"take {projection.reply_to(request)}" for request in requests}
            wanted |= {"hand over /sagas", "start"}
    spans = traced(trace_id, wanted)
    check_tree(spans, trace_id=trace_id)
    did = {(span.service, span.name): span for span in spans}
    for step in steps:
        span = did[step.service, f"do {step.operation}"]
        assert span.attributes["dueto.outcome"] in ("done", "waiting", "repeated")
        assert span.attributes["dueto.saga_id"] == saga_id


def test_every_undo_of_a_failed_saga_has_a_span(shop, traced, pattern):
    trace_id, header = traceparent()
    cart = shop.cart(product=shop.product(quantity=1))
    answer = shop.check_out(cart, pattern, method="card_declined", traceparent=header)
    assert shop.ended(answer[1]["saga_id"])["status"] == "compensated"
    spans = traced(trace_id, steps_of("checkout", undone_from="process_payment"))
    check_tree(spans, trace_id=trace_id)
    assert "refused" in {
        span.attributes.get("dueto.outcome") for span in spans if span.service == "pagos"
    }


def test_decision_goes_on_in_the_sagas_trace(shop, traced, pattern):
    """A payment waits for the card network; the decision continues that trace."""
    trace_id, header = traceparent()
    cart = shop.cart(product=shop.product(quantity=1))
    saga_id = shop.check_out(cart, pattern, traceparent=header)[1]["saga_id"]
    shop.ended(saga_id)
    spans = traced(trace_id, {"decide pagos.charge", "do carrito.confirm_order"})
    by_id = {span.id: span for span in spans}
    (decided,) = [span for span in spans if span.name == "decide pagos.charge"]
    assert by_id[decided.parent].name == "do pagos.charge"


def test_spans_of_one_transaction_have_links_to_each_other(shop, traced, receiver, pattern):
    """A rush: several are served at once, each in its own trace."""
    made = [traceparent() for _ in range(24)]
    carts = shop.carts(len(made), product=shop.product(quantity=len(made)))
    with ThreadPoolExecutor(len(made)) as threads:
        answers = list(
            threads.map(
                lambda cart, trace: shop.check_out(cart, pattern, traceparent=trace[1])[1],
                carts,
                made,
            )
        )
    shop.all_ended([answer["saga_id"] for answer in answers])
    for trace_id, _ in made:
        traced(trace_id, {"do carrito.confirm_order"})

    def linked():
        """Each span with its parent, which another process may send later."""
        spans = [span for trace_id, _ in made for span in receiver.trace(trace_id)]
        by_id = {span.id: span for span in spans}
        pairs = [(span, by_id.get(span.links[0])) for span in spans if span.links]
        return pairs if all(first for _, first in pairs) else None

    for span, first in eventually(linked, what="some were served together, and all have come"):
        assert span.attributes["dueto.batch"] == first.attributes["dueto.batch"] > 1
        assert (first.service, first.name.split()[0]) == (span.service, span.name.split()[0])
        assert first.trace_id != span.trace_id


def test_unsampled_request_leaves_no_span(shop, receiver, pattern):
    trace_id, header = traceparent(is_sampled=False)
    cart = shop.cart(product=shop.product(quantity=1))
    shop.ended(shop.check_out(cart, pattern, traceparent=header)[1]["saga_id"])
    later, header = traceparent()
    cart = shop.cart(product=shop.product(quantity=1))
    shop.ended(shop.check_out(cart, pattern, traceparent=header)[1]["saga_id"])
    eventually(lambda: receiver.trace(later), what="what is sampled has come")
    assert receiver.trace(trace_id) == []
