from django.urls import path

from dashboard import views

app_name = "dashboard"
urlpatterns = [
    path("", views.now, name="now"),
    path("dashboard/now", views.now_live, name="now-live"),
    path("dashboard/sagas", views.sagas, name="sagas"),
    path("dashboard/sagas/<str:saga_id>", views.saga, name="saga"),
    path("dashboard/sagas/<str:saga_id>/live", views.saga_live, name="saga-live"),
    path("dashboard/sagas/<str:saga_id>/act", views.act, name="act"),
    path("dashboard/race", views.race, name="race"),
    path("dashboard/race/live", views.race_live, name="race-live"),
    path("dashboard/race/start", views.start_race, name="start-race"),
    path("dashboard/race/break", views.break_it, name="break-it"),
    path("dashboard/reports", views.list_reports, name="reports"),
    path("dashboard/reports/<str:name>", views.report, name="report"),
    path("dashboard/reports/<str:name>/page", views.report_page, name="report-page"),
]
