from __future__ import annotations

from django.urls import path

from webapp.notifications import views

urlpatterns = [
    path("account/mail/", views.mail_setting, name="mail-setting"),
    path("experiments/<uuid:code>/alerts/", views.alerts, name="alerts"),
    path("experiments/<uuid:code>/alerts/new/", views.alert_add, name="alert-add"),
    path("experiments/<uuid:code>/alerts/<uuid:alert>/remove/", views.alert_remove, name="alert-remove"),
    path("teams/<uuid:team>/webhooks/", views.webhooks, name="webhooks"),
    path("teams/<uuid:team>/webhooks/new/", views.add, name="webhook-add"),
    path("teams/<uuid:team>/webhooks/<uuid:webhook>/", views.webhook, name="webhook"),
    path("teams/<uuid:team>/webhooks/<uuid:webhook>/test/", views.test, name="webhook-test"),
    path("teams/<uuid:team>/webhooks/<uuid:webhook>/remove/", views.remove, name="webhook-remove"),
]
