"""The HTTP door of the floor: the shop's own, for one more pattern."""

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from carrito import checkout_view, serializers
from carrito.checkout import NotAccepted
from carrito.checkout_view import CheckoutRequest
from httpapi.json import answer
from monolith import PATTERN, checkout


class CheckoutView(checkout_view.CheckoutView):
    """POST: any pattern as ever; `monolith` is done when it answers.

    It answers 202 like the others, so that whoever measures treats all alike. An Idempotency-Key
    is not looked at: without a barrier nobody knows the first answer.
    """

    def post(self, request: Request) -> HttpResponse:
        wanted = msgspec.convert(request.data, CheckoutRequest)
        if wanted.saga_pattern != PATTERN:
            return super().post(request)
        command = checkout_view.command_of(request=request, wanted=wanted)
        try:
            found = checkout.check_out(command=command)
        except NotAccepted as error:
            raise checkout_view.not_accepted(error=error) from error
        url = request.build_absolute_uri(f"/orders/saga/{found.saga_id}/status")
        told = serializers.accepted(found, status_url=url)
        return answer(told, status=202, headers={"Location": url})
