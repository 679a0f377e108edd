from __future__ import annotations

from django.urls import path

from webapp.sharing import views

urlpatterns = [
    path("teams/<uuid:team>/links/", views.share_links, name="share-links"),
    path("experiments/<uuid:code>/links/", views.share_create, name="share-create"),
    path("links/<uuid:code>/revoke/", views.share_revoke, name="share-revoke"),
]
