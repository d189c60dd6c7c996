"""The paths of facturas (port 3006)."""

from django.urls import path

from facturas import operations, views
from httpapi.steps import doors

urlpatterns = [
    path("bills", views.BillsView.as_view()),
    path("bills/<slug:bill_id>", views.BillView.as_view()),
    path("invoices", views.InvoicesView.as_view()),
    path("invoices/<slug:number>", views.InvoiceView.as_view()),
    *doors(operations),
]
