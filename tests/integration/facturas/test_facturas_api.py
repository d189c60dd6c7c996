"""facturas over HTTP: bills, invoices, and the admin's pages of them."""

import pytest

from tests.admin_pages import look_at_all
from tests.integration.facturas.test_bills import bill, fail, paid

pytestmark = pytest.mark.django_db(databases=["default", "facturas"])


@pytest.fixture
def credited():
    """The number of an invoice that was credited; another bill is open."""
    bill("open")
    number = paid("s").data["invoice_number"]
    fail("s")
    return number


def test_bills_are_listed_newest_first_with_their_papers(client, credited):
    listed = client.get("/bills").json()
    assert [result["status"] for result in listed["results"]] == ["credited", "open"]
    (listed,) = client.get("/bills?booking_id=s&user_id=ana&status=credited").json()["results"]
    assert (listed["invoice"], listed["amount"]) == (credited, "40.00")
    assert listed["credit_note"] > listed["invoice"]
    assert client.get(f"/bills/{listed['id']}").json() == listed
    assert client.get("/bills?status=foo").status_code == 400


def test_invoice_is_found_by_its_number(client, credited):
    invoice = client.get(f"/invoices/{credited}").json()
    assert (invoice["kind"], invoice["booking_id"], invoice["amount"]) == ("invoice", "s", "40.00")
    kinds = [result["kind"] for result in client.get("/invoices").json()["results"]]
    assert kinds == ["credit_note", "invoice"]
    assert client.get("/invoices?kind=credit_note&booking_id=s").json()["count"] == 1


@pytest.mark.parametrize("path", ["/bills/0", "/bills/x", "/invoices/2026-999999"])
def test_unknown_paper_is_not_found(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.usefixtures("credited")
def test_every_list_and_every_row_can_be_looked_at(admin_client):
    look_at_all(admin_client, "facturas", at_least=["Bill", "Invoice", "InvoiceCounter"])
