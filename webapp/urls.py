"""Every address of Canopy, grouped by prefix. Public ids are UUIDs, never primary keys."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("webapp.accounts.urls")),
    path("", include("webapp.activity.urls")),
    path("", include("webapp.api.urls")),
    path("", include("webapp.operations.urls")),
    path("", include("webapp.notifications.urls")),
    path("", include("webapp.prices.urls")),
    path("", include("webapp.boards.urls")),
    path("", include("webapp.sharing.urls")),
    path("", include("webapp.experiments.urls")),  # last: an experiment's tabs take any word
]
