"""What the stages of a scene experiment report, its scenes, and the teams' sets of posed pictures.

Every row that a page shows is keyed by what it is about (stage and step, view, scene number, ...), so that doing a
shard twice writes the same rows again.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from jobs.kinds.data_sets import TeamDataSet
from jobs.models import Experiment

_PERSON = settings.AUTH_USER_MODEL


class SceneSet(TeamDataSet):
    """A team's posed pictures. ``counts``: {"scenes", "views", "train", "test", "depth": scenes with depth, "maps":
    scenes with a map from above, "shown": scenes that the page has}; ``format``: gsn or transforms."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="scene_sets")
    format = models.CharField(max_length=10, blank=True)  # empty until it is known

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="one_scene_set_per_name")]


class SetScene(models.Model):
    """One scene of a set for its page: the cameras, and some pictures. The first some dozens of a set.

    ``cameras``: as in a scene's manifest (docs/scenes.md), in voxels of ``grid``, and {"held_out": [numbers of views]}
    beside them in ``values``: {"grid": [z, y, x], "voxel": world units, "cameras": [{"origin", "right", "down",
    "forward", "tangent"}], "held_out", "depth": has depth, "split"}.
    """

    data_set = models.ForeignKey(SceneSet, on_delete=models.CASCADE, related_name="scenes")
    index = models.PositiveIntegerField()
    name = models.CharField(max_length=500)
    values = models.JSONField(default=dict)

    objects: ClassVar[models.Manager[SetScene]] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["data_set", "index"], name="one_scene_per_index")]

    def __str__(self) -> str:
        return self.name


class SetPicture(models.Model):
    """A small copy of one view of a scene."""

    scene = models.ForeignKey(SetScene, on_delete=models.CASCADE, related_name="pictures")
    view = models.PositiveIntegerField()  # its camera's place in SetScene.values
    jpeg = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scene", "view"], name="one_picture_per_view")]

    def __str__(self) -> str:
        return f"{self.scene}, view {self.view}"


class Collected(models.Model):
    """What the collect stage found: {"name", "format", "scenes": {"train", "test"}, "views": of a scene, "held_out":
    views of a scene that are never encoded, "has_depth", "has_maps", "report": [sentences], "fingerprint", "voxel":
    metres or null, "memory": of the stage that needs most, {"stage", "total", "available", and the parts of
    engine.scenes.data.MemoryEstimate}} with sizes in bytes."""

    experiment = models.OneToOneField(Experiment, on_delete=models.CASCADE, related_name="collected")
    values = models.JSONField(default=dict)
    seq = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.values.get("name", ""))


class SceneRun(models.Model):
    """One stage that is trained. ``key`` names its inputs: two runs of one key take the same steps."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="scene_runs")
    stage = models.CharField(max_length=20)  # autoencoder, latents or diffusion
    key = models.CharField(max_length=64, blank=True)
    steps = models.PositiveIntegerField()
    # {"step", "steps", "losses": {part: value}, "loss", "gradient_norm", "learning_rate", "steps_per_second",
    # "memory": bytes of the GPU or null}
    progress = models.JSONField(default=dict)
    seconds = models.FloatField(null=True)  # of its last attempt, once it is trained
    # "finished", "reused" or "not finite"; empty while it trains
    stopped = models.CharField(max_length=10, blank=True)
    # Where a reused run was trained; its losses are there.
    reused_from = models.ForeignKey(Experiment, on_delete=models.SET_NULL, null=True, related_name="+")
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "stage"], name="one_scene_run_per_stage")]
        indexes = [
            models.Index(fields=["experiment", "seq"], name="changed_scene_runs"),
            models.Index(fields=["key"], name="scene_runs_by_key"),
        ]

    def __str__(self) -> str:
        return self.stage


class LossPoint(models.Model):
    """The losses of one step, ``values``: {part: value}. Steps are so far apart that a run has at most some hundred."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    run = models.ForeignKey(SceneRun, on_delete=models.CASCADE, related_name="points")
    step = models.PositiveIntegerField()  # from 1
    values = models.JSONField(default=dict)
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="one_loss_point_per_step")]
        indexes = [models.Index(fields=["experiment", "seq"], name="changed_loss_points")]

    def __str__(self) -> str:
        return f"{self.run}, step {self.step}"


class HeldOutView(models.Model):
    """A picture that was never encoded, and what the auto-encoder shows in its place, as of ``step``. JPEGs of one
    size; depths are grey, near is bright."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="held_out_views")
    index = models.PositiveIntegerField()
    scene = models.CharField(max_length=500)
    view = models.PositiveIntegerField()
    step = models.PositiveIntegerField()
    psnr = models.FloatField()  # dB
    depth_error = models.FloatField(null=True)  # mean of |depth - truth| / truth
    input = models.BinaryField()
    input_depth = models.BinaryField(null=True)  # None where the data has no depth
    picture = models.BinaryField()
    depth = models.BinaryField()
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "index"], name="one_held_out_view_per_index")]
        indexes = [models.Index(fields=["experiment", "seq"], name="changed_held_out_views")]

    def __str__(self) -> str:
        return f"{self.scene}, view {self.view}"


class GeneratedScene(models.Model):
    """A scene that was asked for, drawn or not yet. ``number`` counts from 1 and names its artifacts, scene-0001/...

    ``settings``: {group: {"sampler", "steps", "guidance"}} with, by operation, "box": {"left", "top", "right",
    "bottom"} as shares of the ground plane, "strength", "groups", "seam". ``values``, once it is drawn, as in its
    manifest: {"grid": [z, y, x], "voxel_metres", "sky": [r, g, b], "cameras": [...], "path": {...}} and {"seconds",
    "memory", "downloads": [{"label", "name"}], "complete": all of these are there}.
    ``previews``: [{"label", "name": of the artifact}], oldest first.
    """

    class Operation(models.TextChoices):
        NEW = "new", "New scene"
        INPAINT = "inpaint", "Part drawn anew"
        VARY = "vary", "Variation"
        JOIN = "join", "Two scenes joined"
        STYLE = "style", "Another style"
        IMPROVE = "improve", "Improved"

    class State(models.TextChoices):
        ASKED = "asked", "Waiting"
        DRAWING = "drawing", "Being drawn"
        DRAWN = "drawn", "Drawn"

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="generated_scenes")
    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    number = models.PositiveIntegerField()
    stage = models.CharField(max_length=20)  # sample or generate
    shard = models.PositiveIntegerField()  # its index in that stage
    operation = models.CharField(max_length=7, choices=Operation, default=Operation.NEW)
    settings = models.JSONField(default=dict)
    seed = models.PositiveBigIntegerField()
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="children")
    other = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="+")  # the right one of a join
    map_file = models.CharField(max_length=255, blank=True)  # a map from above, its name in the default storage
    image_file = models.CharField(max_length=255, blank=True)  # a picture whose style is wanted
    state = models.CharField(max_length=7, choices=State, default=State.ASKED)
    values = models.JSONField(default=dict)
    previews = models.JSONField(default=list)
    created_by = models.ForeignKey(_PERSON, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "number"], name="one_scene_per_number")]
        indexes = [models.Index(fields=["experiment", "seq"], name="changed_generated_scenes")]

    def __str__(self) -> str:
        return f"Scene {self.number}"

    @property
    def folder(self) -> str:
        """The first part of its artifacts' names."""
        return f"scene-{self.number:04d}"


class SceneScore(models.Model):
    """One number of the evaluation. ``subject``: samples, autoencoder or real (against other real pictures);
    ``metric``: psnr, ssim, depth, kid, ...; ``details``: {"title", "unit", "better": high or low, "count", "note"}."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="scene_scores")
    subject = models.CharField(max_length=20)
    metric = models.CharField(max_length=40)
    value = models.FloatField(null=True)
    details = models.JSONField(default=dict)
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["experiment", "subject", "metric"], name="one_score_per_subject_and_metric")
        ]
        indexes = [models.Index(fields=["experiment", "seq"], name="changed_scene_scores")]

    def __str__(self) -> str:
        return f"{self.subject}, {self.metric}"
