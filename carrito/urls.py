from django.urls import path

from carrito import operations, views
from carrito.checkout_view import CheckoutView
from coordination import owner_views
from httpapi import steps

urlpatterns = [
    path("checkout/saga", CheckoutView.as_view()),
    path("carts", views.CartsView.as_view()),
    path("carts/unlock", views.UnlockView.as_view()),
    path("carts/<str:cart_id>", views.CartView.as_view()),
    path("carts/<str:cart_id>/items", views.CartItemsView.as_view()),
    path("carts/<str:cart_id>/items/<str:product_id>", views.CartItemView.as_view()),
    path("orders", views.CreateOrderView.as_view()),
    path("orders/confirm", views.ConfirmOrderView.as_view()),
    path("orders/cancel", views.CancelOrderView.as_view()),
    path("orders/<str:order_id>", views.OrderView.as_view()),
    path("orders/<str:order_id>/confirm", views.ConfirmOrderView.as_view()),
    path("orders/<str:order_id>/cancel", views.CancelOrderView.as_view()),
    path("orders/saga/<str:cart_id>", views.OrdersOfCartView.as_view()),
    path("orders/saga/<str:saga_id>/status", views.CheckoutStatusView.as_view()),
    *owner_views.urls(owner=operations.OWNER, below="checkouts"),
    *steps.doors(operations),
]
