"""Runs, their epochs and scores, label quality, predictions, and the teams' data sets.

Every row that a page shows is keyed by what it is about (run and epoch, run and angle, ...), so that doing a shard
twice writes the same rows again. Angles are degrees, counter-clockwise. Boxes are (x1, y1, x2, y2) in pixels of the
square canvas that the detector sees.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from jobs.kinds.data_sets import TeamDataSet
from jobs.models import Experiment


class DataSet(TeamDataSet):
    """A team's images with labels. ``counts``: {"images", "objects", "train", "val", "test", "by_class": {name: n},
    "parted": has parts of its own, "shown": images that the browser has}."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="detection_sets")
    format = models.CharField(max_length=4, blank=True)  # coco, voc or yolo; empty until it is known
    classes = models.JSONField(default=list)
    has_masks = models.BooleanField(default=False)  # every object has one: perfect labels and exact truth are possible

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="one_detection_set_per_name")]


class SetImage(models.Model):
    """One image of a data set for the browser: small, with its labels. The first some thousand of a set."""

    data_set = models.ForeignKey(DataSet, on_delete=models.CASCADE, related_name="images")
    index = models.PositiveIntegerField()
    split = models.CharField(max_length=5)  # train, val or test
    file = models.CharField(max_length=500)
    width = models.PositiveIntegerField()  # of the image itself
    height = models.PositiveIntegerField()
    objects_count = models.PositiveIntegerField()
    labels = models.JSONField(default=list)  # [[class index from 0, x1, y1, x2, y2], ...] in pixels of the image itself
    jpeg = models.BinaryField()

    objects: ClassVar[models.Manager[SetImage]] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["data_set", "index"], name="one_image_per_index")]

    def __str__(self) -> str:
        return self.file


class Prepared(models.Model):
    """What the prepare stage found: {"name", "classes", "has_masks", "images": {"train", "val", "test"}, "objects",
    "report": [sentences], "fingerprint"}."""

    experiment = models.OneToOneField(Experiment, on_delete=models.CASCADE, related_name="prepared")
    values = models.JSONField(default=dict)
    seq = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.values.get("name", ""))


class Run(models.Model):
    """One detector: an architecture, a label rule, RU or not, a seed. ``index`` is that of its train shard."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="runs")
    index = models.PositiveIntegerField()
    architecture = models.CharField(max_length=20)  # retinanet, fcos or faster_rcnn
    rule = models.CharField(max_length=20)  # as engine.detection.LabelRule writes it
    delta = models.FloatField(null=True)  # degrees, of the RU loss; None: plain loss
    seed = models.PositiveBigIntegerField()
    label = models.CharField(max_length=80)  # "ellipse + RU 10°, RetinaNet, seed 0"
    # How training stands: {"epoch", "epochs", "step", "steps", "losses": {part: value}, "loss",
    # "images_per_second", "processes"}
    progress = models.JSONField(default=dict)
    epochs = models.PositiveIntegerField(default=0)  # finished
    best_epoch = models.PositiveIntegerField(null=True)
    best_ap = models.FloatField(null=True)  # on the validation images
    stopped = models.CharField(max_length=10, blank=True)  # finished or early; empty while it trains
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "index"], name="one_run_per_index")]
        indexes = [models.Index(fields=["experiment", "seq"], name="changed_runs")]

    def __str__(self) -> str:
        return self.label


class Epoch(models.Model):
    """One epoch. ``values``: {"loss", "losses": {part: mean}, "images_per_second", "learning_rate", "memory":
    bytes of one GPU or null, "batch": images a step of one GPU, "ap", "ap50",
    "ap75", "best", "gates": {loss: [[from degrees, to degrees, positives, regressed], ...]}, "steps": [[step, loss],
    ...]}."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="epoch_rows")
    epoch = models.PositiveIntegerField()  # from 1
    values = models.JSONField(default=dict)
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "epoch"], name="one_row_per_epoch")]
        indexes = [models.Index(fields=["experiment", "seq"], name="changed_epochs")]

    def __str__(self) -> str:
        return f"{self.run}, epoch {self.epoch}"


class AngleScore(models.Model):
    """A run's best weights at one test angle; APs in 0..1, None where there is nothing to find.

    ``details``: {"classes": {name: [ap, ap50, ap75]}, "sizes": {small, medium, large: the same},
    "curves": {name: 101 precisions at recalls 0, 0.01, ..., 1, IoU 0.5}, "curves75": the same at IoU 0.75,
    "confusion": rows true, columns found, the last of each is background, "images", "objects", "exact": truth from
    masks}.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="scores")
    angle = models.FloatField()
    ap = models.FloatField(null=True)
    ap50 = models.FloatField(null=True)
    ap75 = models.FloatField(null=True)
    details = models.JSONField(default=dict)
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "angle"], name="one_score_per_angle")]
        indexes = [models.Index(fields=["experiment", "seq"], name="changed_scores")]

    def __str__(self) -> str:
        return f"{self.run}, {self.angle:g} degrees"


class LabelQuality(models.Model):
    """How good a rule's labels are on the masks of the training images, before anything is trained."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="label_quality")
    rule = models.CharField(max_length=20)
    angle = models.FloatField()
    share50 = models.FloatField()  # of labels with IoU >= 0.5
    share75 = models.FloatField()
    mean_iou = models.FloatField()
    objects_count = models.PositiveIntegerField()
    seq = models.PositiveBigIntegerField(default=0)

    objects: ClassVar[models.Manager[LabelQuality]] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "rule", "angle"], name="one_quality_per_rule")]
        indexes = [models.Index(fields=["experiment", "seq"], name="changed_quality")]

    def __str__(self) -> str:
        return f"{self.rule}, {self.angle:g} degrees"


class Picture(models.Model):
    """A test image as a detector saw it at one angle, small. The runs of an experiment share it."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="pictures")
    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    image = models.PositiveIntegerField()  # index among the test images
    angle = models.FloatField()
    jpeg = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "image", "angle"], name="one_picture_per_angle")]

    def __str__(self) -> str:
        return f"image {self.image}, {self.angle:g} degrees"


class Prediction(models.Model):
    """What a run found in one test image at one angle: of the worst images, and of some drawn at random.

    ``values``: {"size": side of the canvas, "found": [[class index from 0, score, x1, y1, x2, y2, IoU with the object
    it matches or 0], ...] best first, "truth": [[class index, x1, y1, x2, y2, IoU of the detection that found it or
    0, 1 if neither right nor wrong], ...]}.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="predictions")
    angle = models.FloatField()
    image = models.PositiveIntegerField()
    file = models.CharField(max_length=500)
    badness = models.FloatField()  # worst first: objects missed, plus what was found where nothing is, by its score
    chosen = models.CharField(max_length=6)  # "worst" or "random"
    picture = models.ForeignKey(Picture, on_delete=models.CASCADE, related_name="+")
    values = models.JSONField(default=dict)
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "angle", "image"], name="one_prediction_per_image")]
        indexes = [
            models.Index(fields=["run", "angle", "-badness"], name="worst_first"),
            models.Index(fields=["experiment", "seq"], name="changed_predictions"),
        ]

    def __str__(self) -> str:
        return f"{self.run}, {self.angle:g} degrees, {self.file}"


class TriedImage(models.Model):
    """A picture somebody uploaded to see what every run's detector finds in it. ``index`` is that of its shard."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="tries")
    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    index = models.PositiveIntegerField()
    name = models.CharField(max_length=120)
    file = models.CharField(max_length=255)  # its name in the default storage
    angles = models.JSONField(default=list)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    size = models.PositiveIntegerField(default=0)  # side of the canvas
    seq = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "index"], name="one_tried_image_per_index")]

    def __str__(self) -> str:
        return self.name


class TriedPicture(models.Model):
    """A tried image turned by an angle, as the detectors saw it."""

    tried = models.ForeignKey(TriedImage, on_delete=models.CASCADE, related_name="pictures")
    angle = models.FloatField()
    jpeg = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tried", "angle"], name="one_tried_picture_per_angle")]

    def __str__(self) -> str:
        return f"{self.tried}, {self.angle:g} degrees"


class TriedDetections(models.Model):
    """What one run found in a tried image at one angle: ``found`` is [[class index from 0, score, x1, y1, x2, y2],
    ...], best first."""

    tried = models.ForeignKey(TriedImage, on_delete=models.CASCADE, related_name="detections")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    angle = models.FloatField()
    found = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tried", "run", "angle"], name="one_try_per_run_and_angle")]

    def __str__(self) -> str:
        return f"{self.run}, {self.angle:g} degrees"
