"""The one path that a benchmark replaces."""

from django.urls import path

from monolith import views

urlpatterns = [path("checkout/saga", views.CheckoutView.as_view())]
