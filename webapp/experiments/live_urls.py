"""Addresses of the experiment page, twice: for members under the code, for share links under the token."""

from __future__ import annotations

from collections.abc import Callable

from django.urls import URLPattern, path

from webapp.experiments import downloads, views_live
from webapp.experiments.compare.shared import compared_data
from webapp.experiments.offline import views as offline
from webapp.experiments.page import View, for_members, for_share_links
from webapp.experiments.scenes import shares as scene_shares


def _patterns(prefix: str, name: str, serve_to: Callable[[View], View]) -> list[URLPattern]:
    def address(suffix: str, view: View, end: str) -> URLPattern:
        return path(prefix + suffix, serve_to(view), name=f"{name}-{end}")

    return [
        address("live.json", views_live.live, "live"),
        address("data/<slug:part>.json", views_live.data, "data"),
        address("data/<slug:part>/<str:key>.json", views_live.item, "item"),
        address("pictures/<slug:part>/<str:key>.jpg", downloads.picture, "picture"),
        address("downloads/<str:name>", downloads.download, "download"),
        address("offline.json", offline.offline_size, "offline-size"),
        address("offline.zip", offline.offline_copy, "offline"),
        address("artifacts/<uuid:artifact>", downloads.artifact, "artifact"),
        address("<slug:tab>/", views_live.tab, "tab"),
    ]


urlpatterns = [
    path("experiments/<uuid:code>/", for_members(views_live.overview), name="experiment"),
    *_patterns("experiments/<uuid:code>/", "experiment", for_members),
    # /s/<token>/ itself is webapp.sharing's: it shows whatever the link opens.
    *_patterns("s/<str:token>/", "shared", for_share_links),
    path("s/<str:token>/scene.json", scene_shares.shared_scene, name="shared-scene"),
    path("s/<str:token>/scene.jpg", scene_shares.shared_scene_poster, name="shared-scene-poster"),
    path("s/<str:token>/scene/<uuid:artifact>", scene_shares.shared_scene_file, name="shared-scene-file"),
    path("s/<str:token>/compared/<int:number>/<slug:part>.json", compared_data, name="shared-compared"),
]
