from django.urls import path

from carrito import operations, views
from carrito.views import OrderStepView
from httpapi.steps import StepView, doors, made

CONFIRM = made(OrderStepView, operation=operations.confirm_order)
CANCEL = made(OrderStepView, operation=operations.cancel_order)

urlpatterns = [
    path("checkout/saga", views.CheckoutView.as_view()),
    path("carts", views.CartsView.as_view()),
    path("carts/unlock", made(StepView, operation=operations.fail_checkout)),
    path("carts/<str:cart_id>", views.CartView.as_view()),
    path("carts/<str:cart_id>/items", views.CartItemsView.as_view()),
    path("carts/<str:cart_id>/items/<str:product_id>", views.CartItemView.as_view()),
    path("orders", made(StepView, operation=operations.create_order)),
    path("orders/confirm", CONFIRM),
    path("orders/cancel", CANCEL),
    path("orders/<str:order_id>", views.OrderView.as_view()),
    path("orders/<str:order_id>/confirm", CONFIRM),
    path("orders/<str:order_id>/cancel", CANCEL),
    path("orders/saga/<str:cart_id>", views.OrdersOfCartView.as_view()),
    path("orders/saga/<str:saga_id>/status", views.CheckoutStatusView.as_view()),
    *doors(operations),
]
