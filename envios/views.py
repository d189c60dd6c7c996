"""The HTTP door of envios. No decisions here."""

import msgspec
from django.db import transaction
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from contracts import bounds, projection
from contracts.doors import OPS_ACT, OPS_READ, SHOP, door
from envios import operations, serializers, store
from envios.models import Courier, Delivery, DeliveryStatus
from envios.serializers import DeliveryFilter, NewCourier
from httpapi import identity, pages, problems
from httpapi.json import answer

_NOT_MOVED = (operations.DELIVERY_CANCELLED, operations.DELIVERED_ALREADY)


class CouriersView(APIView):
    """GET lists the couriers, in pages. POST adds a courier."""

    @door(OPS_READ, takes=pages.PageRequest, gives={200: pages.Page[serializers.CourierShown]})
    def get(self, request: Request) -> HttpResponse:
        wanted = bounds.of_query(request.query_params, pages.PageRequest)
        page = pages.page(request=request, found=store.couriers(), wanted=wanted)
        return answer(page.answer(results=[serializers.courier(row) for row in page.rows]))

    @door(OPS_ACT, takes=NewCourier, gives={201: serializers.CourierShown})
    def post(self, request: Request) -> HttpResponse:
        asked = problems.read(request.data, NewCourier)
        added = Courier.objects.create(**msgspec.structs.asdict(asked))
        return answer(serializers.courier(store.couriers().get(pk=added.pk)), status=201)


class DeliveriesView(APIView):
    """GET: the deliveries, newest first, in pages; `deliveries` has them by order."""

    @door(
        OPS_READ,
        callers=projection.owners_with(operations.SERVICE),
        takes=DeliveryFilter,
        gives={200: serializers.DeliveriesPage},
    )
    def get(self, request: Request) -> HttpResponse:
        asked = bounds.of_query(request.query_params, DeliveryFilter)
        found = store.deliveries(subject=asked.order_id or "")
        page = pages.page(request=request, found=found, wanted=asked)
        shown = [serializers.delivery(row) for row in page.rows]
        by_order = {row["order_id"]: row for row in reversed(shown)}
        return answer({**page.answer(results=shown), "deliveries": by_order, "total": page.count})


class DeliveryView(APIView):
    """A delivery: its courier, its destination and its status."""

    @door(SHOP, OPS_READ, gives={200: serializers.DeliveryShown})
    def get(self, request: Request, delivery_id: str) -> HttpResponse:
        return answer(serializers.delivery(_known(delivery_id, user_id=identity.owner(request))))


class InTransitView(APIView):
    """POST: marks the delivery as in transit."""

    status = DeliveryStatus.IN_TRANSIT

    @door(OPS_ACT, gives={200: serializers.DeliveryShown}, refuses={409: _NOT_MOVED})
    def post(self, request: Request, delivery_id: str) -> HttpResponse:
        known = _known(delivery_id)
        with transaction.atomic(using=operations.SERVICE):
            refused = operations.move_on(delivery_id=known.pk, status=self.status)
        if refused:
            raise problems.refusal(refused)
        return answer(serializers.delivery(_known(delivery_id)))


class DeliveredView(InTransitView):
    """POST: marks the delivery as delivered; the courier is free again."""

    status = DeliveryStatus.DELIVERED


def _known(delivery_id: str, *, user_id: str | None = None) -> Delivery:
    found = store.delivery(delivery_id=delivery_id, user_id=user_id)
    if found is None:
        raise problems.unknown("delivery", delivery_id)
    return found
