from __future__ import annotations

from django.urls import path

from webapp.sharing import views, views_public

urlpatterns = [
    path("teams/<uuid:team>/links/", views.share_links, name="share-links"),
    path("teams/<uuid:team>/links/words/", views.share_words, name="share-words"),
    path("teams/<uuid:team>/links/make/", views.share_create, name="share-create"),
    path("teams/<uuid:team>/links/revoke/", views.share_revoke_many, name="share-revoke-many"),
    path("links/<uuid:code>/pause/", views.share_pause, name="share-pause"),
    path("links/<uuid:code>/resume/", views.share_resume, name="share-resume"),
    path("links/<uuid:code>/revoke/", views.share_revoke, name="share-revoke"),
    # What a link opens; more of it is below /s/<token>/ in the apps that it belongs to.
    path("s/<str:token>/", views_public.shared, name="shared"),
    path("e/<str:token>", views_public.embedded, name="embedded"),
]
