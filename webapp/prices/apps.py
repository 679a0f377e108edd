from __future__ import annotations

from django.apps import AppConfig


class PricesConfig(AppConfig):
    name = "webapp.prices"
