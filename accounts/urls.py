from django.urls import path

from accounts.views import KeysView, RefreshView, TokenView

urlpatterns = [
    path("token", TokenView.as_view()),
    path("token/refresh", RefreshView.as_view()),
    path(".well-known/jwks.json", KeysView.as_view()),
]
