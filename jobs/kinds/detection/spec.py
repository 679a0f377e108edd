"""Everything a person may ask of a detection experiment. The form, the API, the stored record and the docs come from
it; jobs.kinds.sampling.spec says what ``json_schema_extra`` holds."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic_core.core_schema import ValidationInfo

from engine.detection.rules import LabelRule
from jobs.kinds.spec_parts import reference, storable

SHAPES = "builtin/shapes"
DOOM = "builtin/vizdoom"
BUILTIN = {
    SHAPES: "Rendered shapes: ellipses, rectangles and corners with exact masks",
    DOOM: "ViZDoom: objects and monsters in Freedoom's maps, with exact masks",
}
ARCHITECTURES = {"retinanet": "RetinaNet", "fcos": "FCOS", "faster_rcnn": "Faster R-CNN"}
RULES = {
    "none": "No rotation",
    "largest": "Largest box",
    "ellipse": "Ellipse",
    "ellipse+ru": "Ellipse + RU loss",
    "largest+ru": "Largest box + RU loss",
    "perfect": "Perfect, from masks",
    "perfect+ru": "Perfect + RU loss",
    "random": "Random shape",
    "rotiou": "RotIoU",
    "octagon:0.1": "Octagon, cut 0.1",
    "octagon:0.2": "Octagon, cut 0.2",
    "octagon:0.5": "Octagon, cut 0.5 (diamond)",
}
BACKBONES = {
    "efficientnet_lite0": "EfficientNet-Lite0, ImageNet weights included",
    "resnet50": "ResNet-50, weights from a file",
    "tiny": "Tiny, for a CPU",
}
RU = "+ru"
MAX_RUNS = 200
MAX_SEED = 2**31 - 1


def _storable(text: str) -> str:
    return storable(text).strip()


def _once(values: list[Any]) -> list[Any]:
    if not values:
        raise ValueError("choose at least one")
    if len(set(values)) < len(values):
        raise ValueError("name each of them once")
    return values


Text = Annotated[str, StringConstraints(max_length=500), AfterValidator(_storable)]
Angle = Annotated[float, Field(ge=0, le=180)]


class DetectionSpec(BaseModel):
    """Train detectors that differ in label rule, RU loss, architecture and seed under one budget, and compare them at
    test angles."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # --- data
    data: str = Field(
        default=SHAPES,
        max_length=60,
        title="Data set",
        description="A built-in one, or one of your team's own.",
        json_schema_extra={"section": "Data", "widget": "data-set"},
    )
    shapes: int = Field(
        default=240,
        ge=4,
        le=20_000,
        title="Rendered images",
        description="To train on; a quarter as many more to test with. Only for rendered shapes.",
        json_schema_extra={"section": "Data", "unit": "images"},
    )
    val_share: float = Field(
        default=0.2,
        ge=0.02,
        le=0.8,
        title="Share kept for tests",
        description="Where the data set has no train and val parts of its own.",
        json_schema_extra={"section": "Data", "step": 0.01},
    )
    strict: bool = Field(
        default=False,
        title="Stop at faults in the data",
        description="Off: what is wrong is named in the report and left out. On: any fault ends the experiment.",
        json_schema_extra={"section": "Data"},
    )
    # --- what is compared
    train: bool = Field(
        default=True,
        title="Train detectors",
        description="Off: only read the data set and measure the quality of its labels.",
        json_schema_extra={"section": "What is compared"},
    )
    rules: list[str] = Field(
        default=["none", "largest", "ellipse", "ellipse+ru", "perfect"],
        max_length=len(RULES),
        title="Label rules",
        description="How the labels of turned images are made. + RU loss: boxes close to a doubtful label are left "
        "alone.",
        json_schema_extra={
            "section": "What is compared",
            "widget": "multi",
            "choices": [[name, title] for name, title in RULES.items()],
        },
    )
    deltas: list[Annotated[float, Field(gt=0, le=45)]] = Field(
        default=[10.0],
        max_length=8,
        title="RU delta",
        description="The angle at which labels are half trusted; every rule with RU loss is trained with each. The "
        "paper's best on COCO is 10; on nuclei and on ViZDoom 45 was better than 10.",
        json_schema_extra={"section": "What is compared", "unit": "degrees", "widget": "numbers"},
    )
    architectures: list[Literal["retinanet", "fcos", "faster_rcnn"]] = Field(
        default=["retinanet"],
        title="Architectures",
        description="Each is trained with each rule and seed.",
        json_schema_extra={
            "section": "What is compared",
            "widget": "multi",
            "choices": [[name, title] for name, title in ARCHITECTURES.items()],
        },
    )
    seeds: int = Field(
        default=1,
        ge=1,
        le=20,
        title="Seeds",
        description="Runs of each combination; the page shows their mean and spread.",
        json_schema_extra={"section": "What is compared", "unit": "runs"},
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=MAX_SEED,
        title="First seed",
        description="The same seeds and settings take the same steps.",
        json_schema_extra={"section": "What is compared"},
    )
    angles: list[Angle] = Field(
        default=[0.0, 10.0, 20.0, 30.0, 40.0],
        max_length=37,
        title="Test angles",
        description="The test images are turned by each. The paper: 0, 10, 20, 30.",
        json_schema_extra={"section": "What is compared", "unit": "degrees", "widget": "numbers"},
    )
    # --- model
    backbone: Literal["efficientnet_lite0", "resnet50", "tiny"] = Field(
        default="efficientnet_lite0",
        title="Backbone",
        description="What the detectors see with.",
        json_schema_extra={"section": "Model", "choices": [[name, title] for name, title in BACKBONES.items()]},
    )
    pretrained: bool = Field(
        default=True,
        title="Start from ImageNet weights",
        description="Off: from random weights, which needs far more training. Tiny has none.",
        json_schema_extra={"section": "Model"},
    )
    weights: Text = Field(
        default="",
        title="Weights file",
        description="For ResNet-50: torchvision's weights as .pth or .safetensors, below a folder that the operator "
        "allows.",
        json_schema_extra={"section": "Model"},
    )
    image_size: int = Field(
        default=512,
        ge=32,
        le=2048,
        multiple_of=32,
        title="Image size",
        description="Images are scaled to fit a square of this side. A multiple of 32.",
        json_schema_extra={"section": "Model", "unit": "px", "step": 32},
    )
    finest_stride: Literal[4, 8] = Field(
        default=8,
        title="Finest stride",
        description="4 for objects smaller than about 16 px on the scaled image; it costs memory and time.",
        json_schema_extra={"section": "Model", "choices": [[8, "8"], [4, "4, for small objects"]]},
    )
    max_detections: int = Field(
        default=100,
        ge=1,
        le=1000,
        title="Detections per image",
        description="The best so many count. COCO's is 100; crowded images want more.",
        json_schema_extra={"section": "Model"},
    )
    # --- budget and training
    epochs: int = Field(
        default=30,
        ge=1,
        le=1000,
        title="Epochs",
        description="The same for every run.",
        json_schema_extra={"section": "Training", "unit": "epochs"},
    )
    images: int | None = Field(
        default=None,
        ge=1,
        le=10**9,
        title="Budget in images",
        description="In place of epochs: as many whole epochs as see at least so many images.",
        json_schema_extra={"section": "Training", "unit": "images"},
    )
    batch: int = Field(
        default=16,
        ge=1,
        le=512,
        title="Batch",
        description="Images a step, over all GPUs of a worker.",
        json_schema_extra={"section": "Training", "unit": "images"},
    )
    learning_rate: float = Field(
        default=3e-4,
        gt=0,
        le=1,
        title="Learning rate",
        description="The peak. AdamW, after a warm-up, falling as a cosine.",
        json_schema_extra={"section": "Training", "step": 0.00001},
    )
    weight_decay: float = Field(
        default=0.05, ge=0, le=1, title="Weight decay", json_schema_extra={"section": "Training", "step": 0.01}
    )
    warmup: int = Field(
        default=200,
        ge=0,
        le=100_000,
        title="Warm-up",
        description="At most half of all steps.",
        json_schema_extra={"section": "Training", "unit": "steps"},
    )
    ema: float = Field(
        default=0.999,
        ge=0,
        le=0.99999,
        title="Moving average",
        description="Of the weights that are tested. 0.99 for runs of some hundred steps.",
        json_schema_extra={"section": "Training", "step": 0.001},
    )
    sigma: float = Field(
        default=15.0,
        ge=0,
        le=180,
        title="Spread of training angles",
        description="Images are turned by angles from a normal distribution with this deviation. The paper: 15.",
        json_schema_extra={"section": "Training", "unit": "degrees"},
    )
    flip: bool = Field(default=True, title="Mirror half of the images", json_schema_extra={"section": "Training"})
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        title="Precision",
        description="Automatic: bfloat16 on GPUs that have it.",
        json_schema_extra={
            "section": "Training",
            "choices": [["auto", "Automatic"], ["fp32", "32 bits"], ["bf16", "bfloat16"]],
        },
    )
    patience: int = Field(
        default=0,
        ge=0,
        le=1000,
        title="Early stop",
        description="After so many epochs without a better AP on the validation images. 0: never.",
        json_schema_extra={"section": "Training", "unit": "epochs"},
    )

    @field_validator("finest_stride", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if value in ("4", "8") else value  # forms send text

    @field_validator("data")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if value in BUILTIN:
            return value
        if found := reference(value, ("set",)):
            return found
        raise ValueError(f"choose {', '.join(BUILTIN)} or one of your team's data sets")

    @field_validator("rules")
    @classmethod
    def _known_rules(cls, value: list[str]) -> list[str]:
        for each in _once(value):
            rule, ru, rest = each.partition(RU)
            parsed = LabelRule.parse(rule)  # says which rules there are
            if rest or str(parsed) != rule:
                raise ValueError(f"{each[:40]!r} is no label rule; write it as in {', '.join(RULES)}")
            if ru and not parsed.rotates:
                raise ValueError("RU loss has no effect without rotation: choose none without +ru")
        return value

    @field_validator("deltas")
    @classmethod
    def _where_needed(cls, value: list[float], info: ValidationInfo) -> list[float]:
        rules = info.data.get("rules", [])
        return _once(value) if value or any(each.endswith(RU) for each in rules) else value

    @field_validator("architectures", "angles")
    @classmethod
    def _each_once(cls, value: list[Any]) -> list[Any]:
        return _once(value)

    @field_validator("weights")
    @classmethod
    def _needed(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.data.get("backbone") == "resnet50" and info.data.get("pretrained"):
            raise ValueError("ResNet-50 needs a file of weights: write its path, or turn the ImageNet weights off")
        return value

    @property
    def set_code(self) -> uuid.UUID | None:
        """The team's data set; None for a built-in one."""
        place, _, code = self.data.partition("/")
        return uuid.UUID(code) if place == "set" else None

    @property
    def uses_weights(self) -> bool:
        """Whether the backbone starts from weights: `tiny` has none."""
        return self.pretrained and self.backbone != "tiny"

    @property
    def upright_rules(self) -> list[str]:
        """The label rules without RU, each once, in order."""
        return list(dict.fromkeys(each.removesuffix(RU) for each in self.rules))
