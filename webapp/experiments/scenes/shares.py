"""What a share link opens of scene experiments: one scene with its viewer, picture and files.

A scene does not change once it is drawn, so a live link and a frozen one would be the same: there is no frozen one.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from jobs.kinds.scenes.models import GeneratedScene
from jobs.models import Artifact, Experiment
from webapp.accounts.models import Team
from webapp.experiments.detection.gallery import whole
from webapp.experiments.downloads import names_nobody, send_artifact, send_picture
from webapp.experiments.kind_pages import kind_page
from webapp.experiments.scenes.gallery import artifacts_of, downloads, facts, groups
from webapp.experiments.scenes.manifests import manifest_of
from webapp.experiments.scenes.pictures import poster
from webapp.experiments.shares import find_experiment
from webapp.sharing.access import Visit, opens
from webapp.sharing.models import ShareLink
from webapp.sharing.targets import About, CannotShare, ShareTarget, Subject, Words

Json = dict[str, Any]


class SceneTarget(ShareTarget):
    """scope: {"experiment": code, "scene": its number}"""

    name = "scene"
    title = "One scene"

    def clean(self, team: Team, scope: Json) -> Subject:
        experiment = find_experiment(team, scope.get("experiment"))
        scene = _drawn(experiment, scope.get("scene"))
        if scene is None:
            raise CannotShare("There is no such scene, or it is not drawn yet: a link shows scenes that are drawn.")
        return Subject({"experiment": str(experiment.code), "scene": scene.number}, experiment)

    def about(self, link: ShareLink) -> About | None:
        scene = _scene(link)
        if scene is None:
            return None
        experiment = scene.experiment
        url = f"{reverse('experiment-tab', args=[experiment.code, 'scenes'])}?at={scene.number}"
        return About(f"Scene {scene.number}, {experiment.name}", url, experiment.colour_slot)

    def words(self, link: ShareLink, *, frozen: bool) -> Words:
        assert link.experiment is not None
        shows = [
            f"Scene {link.scope['scene']} of {link.experiment.name}: in 3D, as a picture, and how it was drawn",
            "Its cameras, to download" if link.anonymous else "Its files, to download",
        ]
        return Words(
            shows,
            [
                "The experiment's other scenes, its figures, settings, pictures and files",
                "Every other page of the team",
            ],
        )

    def page(self, request: HttpRequest, visit: Visit) -> HttpResponseBase:
        scene = _shown(visit)
        context = {
            "visit": visit,
            "experiment": scene.experiment,
            "scene": scene,
            "manifest_url": visit.url("shared-scene"),
            "poster_url": visit.url("shared-scene-poster"),
            "facts": facts(scene),
            "groups": groups(scene),
            "downloads": downloads(scene, _files(visit, scene), lambda file: _address(visit, file)),
        }
        return _private(render(request, "experiments/scenes/shared.html", context))


@opens("scene")
@require_safe
def shared_scene(request: HttpRequest, visit: Visit) -> HttpResponseBase:
    """/s/<token>/scene.json: what the viewer reads."""
    scene = _shown(visit)
    picture = visit.url("shared-scene-poster")
    found = manifest_of(scene, _files(visit, scene), lambda file: _address(visit, file), picture)
    if found is None:
        raise Http404("the scene's volume is gone")
    return _private(JsonResponse(found))


@opens("scene")
@require_safe
def shared_scene_poster(request: HttpRequest, visit: Visit) -> HttpResponseBase:
    """/s/<token>/scene.jpg"""
    scene = _shown(visit)
    return send_picture(poster(scene.experiment, str(scene.number)))


@opens("scene")
@require_safe
def shared_scene_file(request: HttpRequest, visit: Visit, artifact: UUID) -> HttpResponseBase:
    """/s/<token>/scene/<code>: a file of this scene."""
    found = next((each for each in _files(visit, _shown(visit)) if each.code == artifact), None)
    if found is None:
        raise Http404("not a file of this scene")
    return send_artifact(found)


def _shown(visit: Visit) -> GeneratedScene:
    scene = _scene(visit.link)
    assert scene is not None  # webapp.sharing.access closed the link otherwise
    return scene


def _scene(link: ShareLink) -> GeneratedScene | None:
    return _drawn(link.experiment, link.scope.get("scene")) if link.experiment else None


def _drawn(experiment: Experiment, number: object) -> GeneratedScene | None:
    wanted = whole(str(number))
    if experiment.kind != "scenes" or wanted is None:
        return None
    drawn = GeneratedScene.objects.filter(experiment=experiment, state=GeneratedScene.State.DRAWN)
    return drawn.select_related("experiment").filter(number=wanted).first()


def _files(visit: Visit, scene: GeneratedScene) -> list[Artifact]:
    """What the link gives of the scene's files: an anonymous one only what tells nobody's name."""
    kind = kind_page(scene.experiment.kind)
    return [file for file in artifacts_of(scene) if not visit.link.anonymous or names_nobody(file, kind)]


def _address(visit: Visit, file: Artifact) -> str:
    return visit.url("shared-scene-file", artifact=file.code)


def _private(response: HttpResponse) -> HttpResponse:
    response.headers["Cache-Control"] = "private, no-cache"
    return response
