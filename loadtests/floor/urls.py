"""The HTTP door of the floor: the shop's own, for one more pattern."""

import msgspec
from django.http import HttpResponse
from django.urls import path
from rest_framework.request import Request

from carrito import views
from carrito.views import CheckoutRequest
from contracts.outcomes import Refused
from contracts.patterns import ORCHESTRATED
from coordination import owner_views
from httpapi.json import answer
from loadtests.floor import PATTERN, checkout


class CheckoutView(views.CheckoutView):
    """POST: any pattern as ever; `monolith` is done when it answers.

    It answers 202 like the others, so that whoever measures treats all alike. An Idempotency-Key
    is not looked at: without a barrier nobody knows the first answer.
    """

    def post(self, request: Request) -> HttpResponse:
        wanted = msgspec.convert(request.data, CheckoutRequest)
        if wanted.saga_pattern != PATTERN:
            return super().post(request)
        known = msgspec.structs.replace(wanted, saga_pattern=ORCHESTRATED)
        command = views.command_of(request=request, wanted=known)
        command = msgspec.structs.replace(command, saga_pattern=PATTERN)
        ended = checkout.check_out(command=command)
        if isinstance(ended, Refused):
            raise owner_views.not_accepted(ended)
        url = request.build_absolute_uri(f"/orders/saga/{command.saga_id}/status")
        told = {
            "saga_id": command.saga_id,
            "saga": command.saga,
            "cart_id": command.cart_id,
            "saga_pattern": PATTERN,
            **ended.data,
            "status_url": url,
        }
        return answer(told, status=202, headers={"Location": url})


urlpatterns = [path("checkout/saga", CheckoutView.as_view())]
