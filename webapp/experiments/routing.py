"""Addresses of the live sockets."""

from __future__ import annotations

from django.urls import path

from webapp.experiments.consumers import MemberConsumer, ShareConsumer

websocket_urlpatterns = [
    path("ws/experiments/<uuid:code>/", MemberConsumer.as_asgi()),
    path("ws/s/<str:token>/", ShareConsumer.as_asgi()),
]
