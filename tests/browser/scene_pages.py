"""Pages and files for the tests of the 3D viewers: a coloured room, without a database behind it."""

from __future__ import annotations

import gzip
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import engines
from django.urls import path
from PIL import Image

GRID = (16, 48, 48)  # Z, Y, X
RED, GREEN, BLUE, YELLOW, GREY = (210, 40, 40), (40, 180, 60), (50, 80, 220), (250, 220, 60), (120, 120, 120)
SKY = (110, 140, 180)
CAMERAS = [
    {
        "origin": [x, 24, 8],
        "right": [0, -1, 0],
        "down": [0, 0, -1],
        "forward": [1, 0, 0],
        "tangent": 1.0,
    }
    for x in (10, 14, 18)
]

Bytes = npt.NDArray[np.uint8]


def room(*, turned: bool = False) -> Bytes:
    """[Z, Y, X, 4]: a grey floor, a red wall at x = 0, a blue one at the end of y, a green one at the end of x, and a
    yellow pillar in the middle. ``turned``: red, green and blue change places."""
    volume = np.zeros((*GRID, 4), np.uint8)
    depth, height, width = GRID

    def fill(where: tuple[slice, slice, slice], colour: tuple[int, int, int]) -> None:
        volume[where] = (*colour, 250)

    every = slice(None)
    fill((slice(0, 2), every, every), GREY)
    fill((slice(2, 12), every, slice(0, 2)), RED)
    fill((slice(2, 6), every, slice(width - 2, width)), GREEN)
    fill((slice(2, 12), slice(height - 2, height), every), BLUE)
    fill((slice(2, depth), slice(20, 28), slice(20, 28)), YELLOW)
    if turned:
        volume[..., :3] = volume[..., [2, 0, 1]]
    return volume


FOG, FOG_COLOUR = 8, (200, 60, 40)  # opacity of a voxel in 255ths


def fog() -> Bytes:
    """[Z, Y, X, 4]: the same thin haze everywhere."""
    return np.full((*GRID, 4), (*FOG_COLOUR, FOG), np.uint8)


def manifest(_: HttpRequest, name: str) -> HttpResponse:
    depth, height, width = GRID
    if name == "unborn":
        return HttpResponse(status=404)
    return JsonResponse(
        {
            "version": 1,
            "name": f"Scene {name}",
            "grid": [depth, height, width],
            "voxel_metres": 0.5,
            "volume": f"/volume/{name}",
            "poster": "/poster.png",
            "sky": list(SKY),
            "cameras": CAMERAS,
            "path": {"seconds": 1, "keys": [{"origin": each["origin"], "forward": [1, 0, 0]} for each in CAMERAS]},
            "steps": [{"label": "coarse, step 1 of 2", "volume": "/volume/turned"}] if name == "steps" else [],
            "downloads": [{"label": "Mesh (.glb)", "url": "/scene.glb"}],
        }
    )


def volume(_: HttpRequest, name: str) -> HttpResponse:
    if name == "short":
        return HttpResponse(b"too short", content_type="application/octet-stream")
    drawn = fog() if name == "fog" else room(turned=name == "turned")
    packed = gzip.compress(drawn.tobytes(), 1)
    return HttpResponse(packed, content_type="application/octet-stream", headers={"Content-Encoding": "gzip"})


def cameras(_: HttpRequest) -> HttpResponse:
    posed = [
        {**camera, "image": "/poster.png", "held_out": i == 2, "label": f"Frame {i}"}
        for i, camera in enumerate(CAMERAS)
    ]
    return JsonResponse({"box": {"min": [0, 0, 0], "max": [48, 48, 16]}, "cameras": posed, "points": "/points.bin"})


def points(_: HttpRequest) -> HttpResponse:
    z, y, x = np.nonzero(room()[..., 3])
    places = (np.stack([x, y, z], 1) + 0.5).astype("<f4")
    return HttpResponse(places.tobytes() + room()[z, y, x, :3].tobytes(), content_type="application/octet-stream")


def poster(_: HttpRequest) -> HttpResponse:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), (200, 0, 200)).save(file, "PNG")
    return HttpResponse(file.getvalue(), content_type="image/png")


PAGE = """{% load static %}<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A scene</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="{% static 'webapp/css/tokens.css' %}">
<link rel="stylesheet" href="{% static 'webapp/css/canopy.css' %}">{% include "parts/scene_head.html" %}
<style nonce="{{ request.csp_nonce }}">main { width: {{ width }}rem; margin: 0 auto; }</style></head>
<body><main><h1>A scene</h1>
{% for manifest_url in manifests %}{% include "parts/scene_viewer.html" %}{% endfor %}
{% if cameras %}{% include "parts/scene_cameras.html" with manifest_url="/cameras.json" %}{% endif %}
</main></body></html>"""


def page(request: HttpRequest) -> HttpResponse:
    """``?scene=room&scene=...&compare=turned&view=...&poster&box&cameras``"""
    asked = request.GET
    values: dict[str, Any] = {
        "request": request,
        "title": "Test room",
        "manifests": [f"/manifest/{name}.json" for name in asked.getlist("scene")],
        "compare_url": f"/manifest/{asked['compare']}.json" if "compare" in asked else None,
        "poster_url": "/poster.png" if "poster" in asked else None,
        "view": asked.get("view"),
        "box_editing": "box" in asked,
        "on_demand": "on-demand" in asked,
        "cameras": "cameras" in asked,
        "width": 34 if "box" in asked else 22,  # software GL: no larger than it must be
    }
    return HttpResponse(engines["django"].from_string(PAGE).render(values))


urlpatterns = [
    path("page/", login_not_required(page)),
    path("manifest/<slug:name>.json", login_not_required(manifest)),
    path("volume/<slug:name>", login_not_required(volume)),
    path("cameras.json", login_not_required(cameras)),
    path("points.bin", login_not_required(points)),
    path("poster.png", login_not_required(poster)),
]
