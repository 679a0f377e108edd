"""Addresses for machines that watch over Canopy; they need no sign-in and tell nothing about anybody's work."""

from __future__ import annotations

from django.urls import path

from webapp.operations import health, prometheus

urlpatterns = [
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    path("metrics", prometheus.metrics, name="metrics"),
]
