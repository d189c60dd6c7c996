"""The dashboard in a real browser, on a running stack: each page, a race, an operator's actions, a
stream that reconnects, and a phone.
"""

import re
import signal
from http.client import HTTPConnection, HTTPResponse

import pytest

from dashboard import live
from stack import services
from tests.checkout.shop import Shop
from tests.installed import need
from tests.waiting import eventually

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright is installed")
PASSWORD = "made up for this run"
WAIT = 60_000
"""Milliseconds until an expected change."""
PAGES = ["/", "/dashboard/sagas", "/dashboard/race", "/dashboard/reports"]
ADMIN_PAGES = [
    *("/admin/", "/admin/saga_orchestrator/saga/", "/admin/saga_choreography/saga/"),
    *("/admin/auth/user/add/", "/admin/auth/group/add/", "/admin/inventario/product/add/"),
    *("/admin/carrito/intervention/", "/admin/carrito/pause/add/", "/admin/axes/accessattempt/"),
    "/admin/password_change/",
]
LABELLED = """() => [...document.querySelectorAll('input:not([type=hidden]), select, iframe, svg')]
    .filter(node => !node.labels?.length && !node.getAttribute('aria-label') && !node.title
                   && !node.closest('[aria-hidden=true]'))
    .map(node => node.outerHTML.slice(0, 80))"""
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser():
    chromium = need("/usr/bin/chromium", package="chromium")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield running
        running.close()


@pytest.fixture(scope="module")
def login(browser, stack):
    """The login for every page of the module."""
    stack.run(*services.ADMIN_COMMAND, DUETO_ADMIN_PASSWORD=PASSWORD)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{stack.urls['dashboard']}/dashboard/sagas")
    page.fill("#id_username", services.ADMIN_USER)
    page.fill("#id_password", PASSWORD)
    page.click("input[type=submit]")
    page.wait_for_url("**/dashboard/sagas", timeout=WAIT)
    yield context.storage_state()
    context.close()


class Tab:
    """A page of the dashboard, and the messages in its console."""

    def __init__(self, browser, stack, login, **options) -> None:
        self._url = stack.urls["dashboard"]
        self._context = browser.new_context(base_url=self._url, storage_state=login, **options)
        self.page = self._context.new_page()
        self.page.set_default_timeout(WAIT)
        self.console: list[str] = []
        self.page.on("console", lambda line: self._note(line.type, line.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.console.append(text)

    def close(self) -> None:
        self._context.close()


@pytest.fixture
def tab(browser, stack, login):
    tab = Tab(browser, stack, login)
    yield tab
    tab.close()


def test_pages_open_on_a_phone_in_the_dark_without_an_error(browser, stack, login, shop: Shop):
    saga_id = shop.check_out(shop.cart(product=shop.product(quantity=1)), "choreographed")[1]
    shop.ended(saga_id["saga_id"])
    phone = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"}
    tab = Tab(browser, stack, login, **phone)
    for path in [*PAGES, f"/dashboard/sagas/{saga_id['saga_id']}"]:
        answered = tab.page.goto(path)
        assert answered is not None
        assert answered.status == 200
        assert tab.page.evaluate(SIDEWAYS) <= 0, f"{path} scrolls sideways"
        assert tab.page.evaluate(LABELLED) == [], f"{path} has an element without a name"
        assert tab.page.locator("h1").count() == 1
    assert tab.console == []
    tab.close()


def test_pages_of_the_admin_keep_to_the_strict_policy(tab, shop: Shop):
    """The browser's console reports everything that a page may not load or run."""
    cart = shop.cart(product=shop.product(quantity=1))
    saga_id = shop.check_out(cart, "orchestrated")[1]["saga_id"]
    shop.ended(saga_id)
    saga = f"/admin/saga_orchestrator/saga/{saga_id}/change/"
    for path in [*ADMIN_PAGES, saga]:
        answered = tab.page.goto(path)
        assert answered.status == 200
        policy = answered.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
    bars = tab.page.locator(".saga-timeline .bar rect")
    assert all(bar.bounding_box()["width"] > 0 for bar in bars.all())
    assert bars.count() >= 4
    tab.page.get_by_role("button", name="Undo").click()
    assert tab.page.get_by_label("Why").bounding_box()["width"] > 200
    assert tab.console == []


def test_race_of_three_patterns_ends_on_the_page(tab):
    tab.page.goto("/dashboard/race")
    tab.page.get_by_role("button", name="Decline the card").click()
    tab.page.wait_for_function(
        "() => [...document.querySelectorAll('.race tfoot .state')]"
        ".filter(node => node.textContent === 'compensated').length === 3"
    )
    assert tab.page.locator(".race small", has_text="card_declined").count() >= 3
    assert tab.page.locator(".race td.undone").count() == 6, "the acceptance, and the reservation"
    assert tab.console == []


def test_last_unit_is_sold_once(tab):
    tab.page.goto("/dashboard/race")
    tab.page.get_by_role("button", name="Take the last unit").click()
    tab.page.wait_for_function(
        "() => document.querySelectorAll('.race tfoot .state:is(.completed,.failed,.compensated)')"
        ".length === 3"
    )
    assert tab.page.locator(".race tfoot .state.completed").count() == 1


def test_operator_returns_a_saga_and_is_on_record(tab, shop: Shop):
    """With the keyboard alone: the form is opened, filled in and sent."""
    cart = shop.cart(product=shop.product(quantity=1))
    saga_id = shop.check_out(cart, "orchestrated")[1]["saga_id"]
    shop.ended(saga_id)
    tab.page.goto(f"/dashboard/sagas?q={cart}")
    tab.page.locator("#sagas tbody a").press("Enter")
    tab.page.locator("summary", has_text="Compensate").press("Enter")
    tab.page.get_by_label("Reason").press_sequentially("wrong size")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_function("() => document.body.innerText.includes(': requested.')")
    shop.ended(saga_id)
    tab.page.reload()
    shown = tab.page.locator(".line").inner_text()
    assert re.search(r"return asked by admin\s+wrong size", shown)
    assert tab.console == []


def test_front_page_moves_and_comes_back_after_its_process_was_killed(tab, stack, shop: Shop):
    tab.page.goto("/")
    state = tab.page.locator("[data-live-state]")
    sync_api.expect(state).to_have_text("live", timeout=WAIT)
    stack.kill("dashboard.web", signal.SIGKILL)
    sync_api.expect(state).to_have_text("connection lost; trying again", timeout=WAIT)
    stack.wait_ready()
    sync_api.expect(state).to_have_text("live", timeout=WAIT)
    shop.check_out(shop.cart(product=shop.product(quantity=1)), "orchestrated_messaging")
    tab.page.wait_for_function(
        "() => document.querySelector('#r-checkout-orchestrated_messaging')"
        "?.closest('tr').querySelector('[data-name=\"a second\"]').textContent > 0"
    )


def test_pause_keeps_the_page_as_it_is(tab):
    tab.page.goto("/")
    tab.page.get_by_role("button", name="Pause").click()
    tab.page.locator("#part").evaluate("part => { part.dataset.mark = part.innerHTML }")
    with tab.page.expect_request(re.compile("dashboard/now")):
        tab.page.get_by_role("button", name="Go on").click()
    sync_api.expect(tab.page.locator("[data-live-state]")).to_have_text("live", timeout=WAIT)
    assert tab.console == []


def test_page_polls_without_a_stream(tab):
    tab.page.route(re.compile("stream=1"), lambda route: route.fulfill(status=503, body="full"))
    tab.page.goto("/")
    sync_api.expect(tab.page.locator("[data-live-state]")).to_have_text(
        "every two seconds", timeout=WAIT
    )


class Streams:
    """Streams of the front page, opened without a browser."""

    def __init__(self, stack, login) -> None:
        self._cookies = "; ".join(
            f"{cookie['name']}={cookie['value']}" for cookie in login["cookies"]
        )
        self._host = stack.urls["dashboard"].removeprefix("http://")
        self._open: list[tuple[HTTPConnection, HTTPResponse]] = []

    def open(self, count: int) -> list[bytes]:
        """Opens that many more; the first line of each."""
        lines = []
        for _ in range(count):
            connection = HTTPConnection(self._host, timeout=30)
            connection.request("GET", "/dashboard/now?stream=1", headers={"Cookie": self._cookies})
            self._open.append((connection, connection.getresponse()))
            lines.append(self._open[-1][1].readline())
        return lines

    def leave(self) -> None:
        while self._open:
            for opened in reversed(self._open.pop()):
                opened.close()


def test_stream_that_was_left_gives_its_place_back(stack, login):
    """A closed tab, or a lost network, is noticed at the next send."""
    streams = Streams(stack, login)
    assert b"event: full\n" in streams.open(live.MOST_STREAMS + 1)
    streams.leave()

    def have_places() -> bool:
        lines = streams.open(live.MOST_STREAMS // 2)
        streams.leave()
        return b"event: full\n" not in lines

    eventually(have_places, what="the places are free again")
