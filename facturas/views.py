"""The HTTP door of facturas. No decisions here."""

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import bounds
from contracts.doors import OPS_READ, SHOP, door
from facturas import serializers, store
from facturas.serializers import BillFilter, InvoiceFilter
from httpapi import identity, pages, problems
from httpapi.json import answer
from participant.models import owned_by


class BillsView(APIView):
    """GET: the bills, newest first, in pages."""

    @door(SHOP, OPS_READ, takes=BillFilter, gives={200: pages.Page[serializers.BillShown]})
    def get(self, request: Request) -> HttpResponse:
        asked = bounds.of_query(request.query_params, BillFilter)
        found = store.bills(
            subject=asked.booking_id or "", user_id=asked.user_id or "", status=asked.status or ""
        )
        found = found.filter(owned_by(identity.owner(request)))
        page = pages.page(request=request, found=found, wanted=asked)
        return answer(page.answer(results=[serializers.bill(row) for row in page.rows]))


class BillView(APIView):
    """A bill, with the numbers of its invoice and of its credit note."""

    @door(SHOP, OPS_READ, gives={200: serializers.BillShown})
    def get(self, request: Request, bill_id: str) -> HttpResponse:
        found = store.bill(bill_id=bill_id, user_id=identity.owner(request))
        if found is None:
            raise problems.unknown("bill", bill_id)
        return answer(serializers.bill(found))


class InvoicesView(APIView):
    """GET: the invoices and credit notes, newest first, in pages."""

    @door(SHOP, OPS_READ, takes=InvoiceFilter, gives={200: pages.Page[serializers.InvoiceShown]})
    def get(self, request: Request) -> HttpResponse:
        asked = bounds.of_query(request.query_params, InvoiceFilter)
        found = store.invoices(
            subject=asked.booking_id or "", user_id=asked.user_id or "", kind=asked.kind or ""
        )
        found = found.filter(owned_by(identity.owner(request), "bill__user_id"))
        page = pages.page(request=request, found=found, wanted=asked)
        return answer(page.answer(results=[serializers.invoice(row) for row in page.rows]))


class InvoiceView(APIView):
    """An invoice or a credit note, by its number."""

    @door(SHOP, OPS_READ, gives={200: serializers.InvoiceShown})
    def get(self, request: Request, number: str) -> HttpResponse:
        found = store.invoice(number=number, user_id=identity.owner(request))
        if found is None:
            raise problems.unknown("invoice", number)
        return answer(serializers.invoice(found))
