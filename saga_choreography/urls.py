from django.urls import path

from saga_choreography import views

urlpatterns = [
    path("saga/choreography/checkout", views.CheckoutView.as_view()),
    path("saga/choreography/status", views.SagasView.as_view()),
    path("saga/choreography/<str:saga_id>", views.SagaView.as_view()),
    path("saga/choreography/<str:saga_id>/status", views.SagaStatusView.as_view()),
    path("saga/choreography/<str:saga_id>/compensate", views.CompensateView.as_view()),
    path("saga/choreography/<str:saga_id>/retry", views.RetryView.as_view()),
    path("saga/choreography/<str:saga_id>/skip", views.SkipView.as_view()),
]
