"""The HTTP door of inventario. No decisions here."""

import re
from typing import Annotated, Any

import msgspec
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from catalogue import refusals, services
from contracts import bounds
from contracts.bounds import MOST_BYTES_OF_MANY, MOST_IN_A_BATCH
from contracts.doors import CATALOGUE_WRITE, OPS_READ, PUBLIC, SHOP, door
from contracts.outcomes import Done, Outcome, Refused
from httpapi import identity, pages, problems
from httpapi.json import answer
from httpapi.steps import PlainView, StepView
from inventario import catalogue, operations, serializers, store
from inventario.catalogue import NewProduct
from inventario.models import Product
from inventario.serializers import Priced, ProductChange, ProductFilter, Restock
from participant import trail

SERVICE = operations.SERVICE
CART = {"cart_id": "subject"}
"""Users send a reservation's subject as `cart_id`."""
_NewProducts = Annotated[list[NewProduct], msgspec.Meta(max_length=MOST_IN_A_BATCH)]


class ProductsView(APIView):
    """GET lists the products, in pages. POST adds a product (201), or a list of products (207)."""

    @door(PUBLIC, takes=ProductFilter, gives={200: serializers.ProductsPage})
    def get(self, request: Request) -> HttpResponse:
        return answer(_page(request, bounds.of_query(request.query_params, ProductFilter)))

    @door(
        CATALOGUE_WRITE,
        takes=(NewProduct, list[NewProduct]),
        most_bytes=MOST_BYTES_OF_MANY,
        gives={201: serializers.ProductShown, 207: list[Outcome]},
        refuses={409: (catalogue.SKU_TAKEN,)},
    )
    def post(self, request: Request) -> HttpResponse:
        is_batch = isinstance(request.data, list)
        wanted = (
            msgspec.convert(request.data, _NewProducts)
            if is_batch
            else [problems.read(request.data, NewProduct)]
        )
        with transaction.atomic(using=SERVICE):
            added = catalogue.add(products=wanted)
        if is_batch:
            return answer([_outcome(product) for product in added], status=207)
        product = _raise_if_refused(added[0])
        location = request.build_absolute_uri(f"/api/products/{product.pk}")
        return answer(serializers.product(product), status=201, headers={"Location": location})


class ProductView(APIView):
    """GET shows a product. PATCH changes any of its fields but the stock."""

    @door(PUBLIC, gives={200: serializers.ProductShown})
    def get(self, request: Request, product_id: str) -> HttpResponse:
        return answer(serializers.product(_known(product_id)))

    @door(
        CATALOGUE_WRITE,
        takes=ProductChange,
        gives={200: serializers.ProductShown},
        refuses={409: (catalogue.SKU_TAKEN,)},
    )
    def patch(self, request: Request, product_id: str) -> HttpResponse:
        product = _known(product_id)
        asked = problems.read(request.data, ProductChange)
        trail.because(asked.reason)
        with transaction.atomic(using=SERVICE):
            refused = catalogue.change(product=product, fields=asked.fields())
        if refused:
            raise problems.refusal(refused)
        return answer(serializers.product(_known(product_id)))


class RestockView(APIView):
    """POST: adds to the stock; a negative quantity takes off what was lost."""

    @door(
        CATALOGUE_WRITE,
        takes=Restock,
        gives={200: serializers.ProductShown},
        refuses={409: (refusals.OUT_OF_STOCK, catalogue.STOCK_TOO_LARGE)},
    )
    def post(self, request: Request, product_id: str) -> HttpResponse:
        product = _known(product_id)
        asked = problems.read(request.data, Restock)
        trail.because(asked.reason)
        with transaction.atomic(using=SERVICE):
            refused = catalogue.restock(product=product, quantity=asked.quantity)
        if refused:
            raise problems.refusal(refused)
        return answer(serializers.product(_known(product_id)))


class PricesView(PlainView):
    """GET: the current prices of several products: `?ids=1,2,3`."""

    @door(callers=services.callers_of(SERVICE), takes=Priced, gives={200: serializers.Prices})
    def get(self, request: HttpRequest) -> HttpResponse:
        ids = _ids(bounds.of_query(request.GET, Priced).ids)
        return answer(serializers.prices(store.prices(ids=ids)))


class AvailabilityView(APIView):
    """How many pieces of a product are available and reserved; for operators also how many are
    sold.
    """

    @door(PUBLIC, gives={200: serializers.Availability})
    def get(self, request: Request, product_id: str) -> HttpResponse:
        in_full = bool(identity.of(request).scopes & {CATALOGUE_WRITE, OPS_READ})
        return answer(serializers.availability(_known(product_id), in_full=in_full))


class ReservationsView(APIView):
    """The reservations of a cart or an order, newest first; an empty list if there are none."""

    @door(SHOP, OPS_READ, gives={200: serializers.ReservationsOf})
    def get(self, request: Request, subject: str) -> HttpResponse:
        rows = store.reservations(subject=subject, user_id=identity.owner(request))
        found = [serializers.reservation(row) for row in rows]
        return answer({"subject": subject, "cart_id": subject, "reservations": found})


class InventoryView(APIView):
    """GET: products and reservations, in pages of both: `?page=&page_size=`."""

    @door(OPS_READ, takes=pages.PageRequest, gives={200: serializers.InventoryPage})
    def get(self, request: Request) -> HttpResponse:
        asked = bounds.of_query(request.query_params, pages.PageRequest)
        wanted = pages.PageRequest(page=asked.page, page_size=asked.page_size)
        products = pages.page(request=request, found=store.products(), wanted=wanted)
        reservations = pages.page(request=request, found=store.reserved(), wanted=wanted)
        following = f"/inventory?page={wanted.page + 1}&page_size={wanted.page_size}"
        has_next = products.next or reservations.next
        return answer(
            {
                **serializers.inventory(products=products.rows, reservations=reservations.rows),
                "total": products.count,
                "page": wanted.page,
                "next": request.build_absolute_uri(following) if has_next else None,
            }
        )


class ReserveView(StepView):
    """A product's id may be a number: `"product_id": 1` is read as `"product_id": "1"`."""

    operation = operations.reserve
    aliases = CART
    _number = re.compile(rb'("product_id"\s*:\s*)(\d+)(?=\s*[,}])')

    def read(self, request: HttpRequest) -> bytes:
        return self._number.sub(rb'\1"\2"', super().read(request))


def _page(request: Request, asked: ProductFilter) -> dict[str, Any]:
    found = store.products(
        category=asked.category or "",
        search=asked.search or "",
        ids=None if asked.ids is None else _ids(asked.ids),
        named=[named.strip() for named in asked.named],
    )
    page = pages.page(request=request, found=found, wanted=asked)
    shown = [serializers.product(row) for row in page.rows]
    return {**page.answer(results=shown), "products": shown, "total": page.count}


def _ids(text: str) -> list[int]:
    ids = [store.product_id_of(part.strip()) for part in text.split(",")]
    return [product_id for product_id in ids if product_id is not None]


def _known(product_id: str) -> Product:
    product = store.product(product_id=store.product_id_of(product_id))
    if product is None:
        raise problems.unknown("product", product_id)
    return product


def _raise_if_refused(added: Product | Refused) -> Product:
    if isinstance(added, Refused):
        raise problems.refusal(added)
    return added


def _outcome(added: Product | Refused) -> Outcome:
    return added if isinstance(added, Refused) else Done(serializers.product(added))
