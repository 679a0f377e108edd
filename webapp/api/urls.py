"""Addresses of the API and of its pages for people."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.urls import path

from webapp.api import pages
from webapp.api.v1 import api

operations, app_name, namespace = api.urls
for pattern in operations:
    # Sessions are no way in: each operation asks for a token itself.
    assert pattern.callback is not None
    pattern.callback = login_not_required(pattern.callback)

urlpatterns = [
    path("account/tokens/", pages.token_create, name="api-token-create"),
    path("account/tokens/<uuid:code>/revoke/", pages.token_revoke, name="api-token-revoke"),
    path("api/", pages.reference, name="api-docs"),
    path("api/v1/openapi.json", pages.openapi, name="api-openapi"),
    path("api/v1/", (operations, app_name, namespace)),
]
del app_name
