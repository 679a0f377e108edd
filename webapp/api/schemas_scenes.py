"""What goes in and out of the API about scenes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from ninja import Schema
from pydantic import AfterValidator, Base64Bytes, ConfigDict, Field, StringConstraints

from jobs.kinds.scenes.asking import MOST_BYTES, SceneRequest
from webapp.api.schemas import EXAMPLE_CODE, Asked

_MOST_TEXT = MOST_BYTES * 4 // 3 + 1024
SetName = Annotated[str, StringConstraints(max_length=80), AfterValidator(lambda text: text.replace("\0", "").strip())]


class SceneSetOut(Schema):
    value: str = Field(description="What a scene spec's data field takes.", examples=[f"set/{EXAMPLE_CODE}"])
    code: UUID
    name: str
    source: str = Field(description="upload or path.")
    format: str = Field(description="gsn or transforms; empty until it is read.")
    state: str = Field(description="reading, ready, refused (it cannot be used) or failed (it was not read).")
    reason: str
    counts: dict[str, Any] = Field(description="Scenes, views, parts, scenes with depth and with maps.")
    report: dict[str, Any] = Field(description="What is wrong in it: counts by kind, and examples that name files.")
    reader: UUID | None = Field(description="The experiment that reads it.")
    created_at: datetime


class SceneSetFolderIn(Asked):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"path": "rooms"}]})
    path: str = Field(min_length=1, max_length=500, description="Of a folder, as the workers see it.")
    name: SetName = ""


class StageOut(Schema):
    """A stage that is trained."""

    stage: str = Field(description="autoencoder, latents or diffusion.")
    steps: int
    stopped: str = Field(description="finished, reused (trained elsewhere) or not finite; empty while it trains.")
    reused_from: UUID | None = Field(description="The experiment in which a reused stage was trained.")
    seconds: float | None
    progress: dict[str, Any] = Field(description="The last step told: losses, learning rate, steps a second.")


class LossOut(Schema):
    stage: str
    step: int
    values: dict[str, float]


class SceneOut(Schema):
    number: int
    code: UUID
    operation: str = Field(description="new, inpaint, vary, join, style or improve.")
    settings: dict[str, Any] = Field(description="Sampler, steps and guidance of each latent, and what the edit takes.")
    seed: int
    parent: int | None = Field(description="The number of the scene it was made from.")
    other: int | None
    state: str = Field(description="asked, drawing or drawn.")
    status: str = Field(description="Of the shard that draws it: waiting, queued, running, done, failed, cancelled.")
    reason: str = Field(description="Why it could not be drawn.")
    values: dict[str, Any] = Field(description="Grid, cameras, path, sky, seconds, downloads; empty until it is drawn.")
    previews: list[dict[str, str]] = Field(description="Volumes of the scene as it forms, oldest first.")
    created: datetime
    files: list[str] = Field(description="Names for /files/{name}.")


class SceneIn(SceneRequest):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {"operation": "new", "seed": 7, "c": {"steps": 50}},
                {"operation": "inpaint", "parent": 1, "box": {"x0": 0.25, "y0": 0.25, "x1": 0.5, "y1": 0.5}},
            ]
        },
    )
    map: Annotated[Base64Bytes, Field(max_length=_MOST_TEXT)] | None = Field(
        default=None, description="A PNG in base64: the map from above; red walls, green what is inside, blue heights."
    )
    image: Annotated[Base64Bytes, Field(max_length=_MOST_TEXT)] | None = Field(
        default=None, description="A picture in base64 whose style is wanted, for the operation style."
    )


class SceneScoreOut(Schema):
    subject: str = Field(description="nearest, autoencoder, latents, real or samples.")
    metric: str = Field(examples=["psnr"])
    value: float | None
    title: str
    unit: str
    better: str = Field(description="high or low.")
    count: int = Field(description="Pictures, or points, that it is the mean of.")
