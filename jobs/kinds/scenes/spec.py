"""Everything a person may ask of a scene experiment. The form, the API, the stored record and the docs come from it;
jobs.kinds.sampling.spec says what ``json_schema_extra`` holds."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, field_validator

from jobs.kinds.spec_parts import reference, storable

ROOMS = "builtin/rooms"
FREEDOOM = "builtin/freedoom"
BUILTIN = {
    ROOMS: "Drawn rooms: walls, pillars and furniture with exact depth and maps, nothing to install",
    FREEDOOM: "Freedoom's maps, rendered by ViZDoom, with depth and maps",
}
GRIDS = {
    "4x16x16": "4 x 16 x 16, for tests",
    "8x32x32": "8 x 32 x 32, for a CPU",
    "16x64x64": "16 x 64 x 64",
    "32x128x128": "32 x 128 x 128, as published",
    "64x256x256": "64 x 256 x 256",
}
GROUPS = {
    "g+c+f": "Global, coarse and fine, as published",
    "c+f": "Coarse and fine",
    "c": "Coarse alone",
}
PREDICTIONS = {
    "x0": "x0 with SNR weight, as published",
    "v": "v, cosine noise",
    "flow": "Flow matching",
}
SAMPLERS = {"dpm-solver++": "DPM-Solver++ (2M)", "ddim": "DDIM", "ddpm": "DDPM", "heun": "Heun, two calls a step"}
TRAINED = {
    "autoencoder": "Scene auto-encoder",
    "latents": "Latent auto-encoder",
    "diffusion": "Diffusion",
}  # the stages that are trained, in order
MAX_SEED = 2**31 - 1
MAX_SCENES = 64  # of an experiment at once; more can be asked for afterwards
MAX_FREEDOOM_MAPS = 61  # to train on; seven more are for testing always

Sampler = Literal["dpm-solver++", "ddim", "ddpm", "heun"]
Text = Annotated[str, StringConstraints(max_length=500), AfterValidator(lambda text: storable(text).strip())]
_SAMPLER_CHOICES: JsonValue = [[name, title] for name, title in SAMPLERS.items()]


def _extra(section: str, **more: JsonValue) -> dict[str, JsonValue]:
    return {"section": section, **more}


def _sampler(group: str) -> Any:
    return Field(
        default="dpm-solver++", title=f"Sampler, {group}", json_schema_extra=_extra("Scenes", choices=_SAMPLER_CHOICES)
    )


def _steps(group: str) -> Any:
    return Field(default=25, ge=1, le=1000, title=f"Steps, {group}", json_schema_extra=_extra("Scenes", unit="steps"))


def _guidance(group: str) -> Any:
    return Field(
        default=1.0,
        ge=-10,
        le=20,
        title=f"Guidance, {group}",
        description="Towards the map from above. 1: none." if group == "global" else "",
        json_schema_extra=_extra("Scenes", step=0.1),
    )


class ScenesSpec(BaseModel):
    """Train NeuralField-LDM on posed pictures: a scene auto-encoder, latents, a hierarchy of diffusion models; then
    draw new scenes and measure them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # --- data
    data: str = Field(
        default=ROOMS,
        max_length=60,
        title="Posed pictures",
        description="Built in, or a set of your team's own.",
        json_schema_extra=_extra("Data", widget="data-set"),
    )
    rooms: int = Field(
        default=24,
        ge=2,
        le=2000,
        title="Drawn rooms",
        description="To train on; a quarter as many more to test with.",
        json_schema_extra=_extra("Data", unit="scenes", only={"data": [ROOMS]}),
    )
    maps: int = Field(
        default=24,
        ge=1,
        le=MAX_FREEDOOM_MAPS,
        title="Maps",
        description="Of Freedoom, to train on; an eighth as many more to test with, always others.",
        json_schema_extra=_extra("Data", unit="maps", only={"data": [FREEDOOM]}),
    )
    scenes_per_map: int = Field(
        default=10,
        ge=1,
        le=60,
        title="Scenes of a map",
        description="Each is a box of 24 m x 24 m x 6 m with 40 pictures.",
        json_schema_extra=_extra("Data", unit="scenes", only={"data": [FREEDOOM]}),
    )
    test_share: float = Field(
        default=0.1,
        ge=0.02,
        le=0.8,
        title="Share kept for tests",
        description="Where the data set has no train and test parts of its own.",
        json_schema_extra=_extra("Data", step=0.01),
    )
    strict: bool = Field(
        default=False,
        title="Stop at faults in the data",
        description="Off: what is wrong is named in the report and left out. On: any fault ends the experiment.",
        json_schema_extra=_extra("Data"),
    )
    train: bool = Field(
        default=True,
        title="Train a model",
        description="Off: only read the pictures and cameras and say what is wrong with them.",
        json_schema_extra=_extra("Data"),
    )
    # --- sizes
    grid: Literal["4x16x16", "8x32x32", "16x64x64", "32x128x128", "64x256x256"] = Field(
        default="16x64x64",
        title="Voxels",
        description="Height x depth x width of a scene.",
        json_schema_extra=_extra("Sizes", choices=[[name, title] for name, title in GRIDS.items()]),
    )
    image_size: int = Field(
        default=128,
        ge=32,
        le=512,
        multiple_of=16,
        title="Picture size",
        description="Pictures are cut square and scaled to this side.",
        json_schema_extra=_extra("Sizes", unit="px", step=16),
    )
    stride: Literal[2, 4, 8] = Field(
        default=4,
        title="Stride",
        description="Pixels of a picture for each ray that is rendered.",
        json_schema_extra=_extra("Sizes", choices=[[2, "2"], [4, "4"], [8, "8"]]),
    )
    channels: int = Field(default=16, ge=2, le=128, title="Features of a voxel", json_schema_extra=_extra("Sizes"))
    bins: int = Field(
        default=64,
        ge=4,
        le=256,
        title="Depths of a frustum",
        description="How finely a picture's depth is told apart when it is lifted into the voxels.",
        json_schema_extra=_extra("Sizes"),
    )
    samples: int = Field(default=96, ge=8, le=512, title="Samples along a ray", json_schema_extra=_extra("Sizes"))
    width: int = Field(
        default=64,
        ge=8,
        le=512,
        multiple_of=8,
        title="Width, scene auto-encoder",
        json_schema_extra=_extra("Sizes", unit="channels", step=8),
    )
    latent_width: int = Field(
        default=128,
        ge=8,
        le=512,
        multiple_of=8,
        title="Width, latent auto-encoder",
        json_schema_extra=_extra("Sizes", unit="channels", step=8),
    )
    g: int = Field(default=128, ge=2, le=1024, title="Numbers of the global latent", json_schema_extra=_extra("Sizes"))
    c_channels: int = Field(default=4, ge=1, le=32, title="Channels, coarse latent", json_schema_extra=_extra("Sizes"))
    f_channels: int = Field(default=4, ge=1, le=32, title="Channels, fine latent", json_schema_extra=_extra("Sizes"))
    codebook: int = Field(
        default=1024,
        ge=8,
        le=65_536,
        title="Codes",
        description="Of the coarse and of the fine latent each.",
        json_schema_extra=_extra("Sizes"),
    )
    denoiser_width: int = Field(
        default=64,
        ge=8,
        le=256,
        multiple_of=8,
        title="Width, diffusion",
        description="Of the finest level; the global denoiser is eight times, deep levels two to four times as wide.",
        json_schema_extra=_extra("Sizes", unit="channels", step=8),
    )
    # --- what is diffused
    groups: Literal["g+c+f", "c+f", "c"] = Field(
        default="g+c+f",
        title="Latents",
        description="Those that are left out are taken at their mean: an ablation.",
        json_schema_extra=_extra("Diffusion", choices=[[name, title] for name, title in GROUPS.items()]),
    )
    prediction: Literal["x0", "v", "flow"] = Field(
        default="x0",
        title="Prediction",
        description="What the denoisers are trained to say.",
        json_schema_extra=_extra("Diffusion", choices=[[name, title] for name, title in PREDICTIONS.items()]),
    )
    trajectory: bool = Field(
        default=True,
        title="Draw a trajectory with each scene",
        description="The cameras' places are diffused with the global latent, so this needs that one.",
        json_schema_extra=_extra("Diffusion"),
    )
    cameras: int = Field(
        default=8,
        ge=1,
        le=64,
        title="Cameras of a trajectory",
        json_schema_extra=_extra("Diffusion"),
    )
    use_map: bool = Field(
        default=True,
        title="Condition on a map from above",
        description="Where the data has maps. One scene in ten is trained without, so scenes can be drawn both ways.",
        json_schema_extra=_extra("Diffusion"),
    )
    # --- training
    autoencoder_steps: int = Field(
        default=4000,
        ge=1,
        le=1_000_000,
        title="Steps, scene auto-encoder",
        json_schema_extra=_extra("Training", unit="steps"),
    )
    latent_steps: int = Field(
        default=3000,
        ge=1,
        le=1_000_000,
        title="Steps, latent auto-encoder",
        json_schema_extra=_extra("Training", unit="steps"),
    )
    diffusion_steps: int = Field(
        default=10_000,
        ge=1,
        le=5_000_000,
        title="Steps, diffusion",
        json_schema_extra=_extra("Training", unit="steps"),
    )
    scene_batch: int = Field(
        default=2,
        ge=1,
        le=64,
        title="Scenes a step",
        description="Of both auto-encoders.",
        json_schema_extra=_extra("Training", unit="scenes"),
    )
    views_given: int = Field(
        default=8,
        ge=1,
        le=64,
        title="Pictures encoded",
        description="Of a scene in a step. Twice as many where its latents are made.",
        json_schema_extra=_extra("Training", unit="pictures"),
    )
    views_asked: int = Field(
        default=4,
        ge=1,
        le=64,
        title="Pictures asked for",
        description="They are rendered from the voxels of the others and compared.",
        json_schema_extra=_extra("Training", unit="pictures"),
    )
    diffusion_batch: int = Field(
        default=16, ge=1, le=1024, title="Batch, diffusion", json_schema_extra=_extra("Training", unit="scenes")
    )
    learning_rate: float = Field(
        default=3e-4,
        gt=0,
        le=1,
        title="Learning rate",
        description="The peak. AdamW, after a warm-up, falling as a cosine.",
        json_schema_extra=_extra("Training", step=0.00001),
    )
    warmup: int = Field(
        default=100,
        ge=0,
        le=100_000,
        title="Warm-up",
        description="At most half of all steps.",
        json_schema_extra=_extra("Training", unit="steps"),
    )
    ema: float = Field(
        default=0.999,
        ge=0,
        le=0.99999,
        title="Moving average",
        description="Of the weights that are used. 0.99 for some hundred steps.",
        json_schema_extra=_extra("Training", step=0.001),
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        title="Precision",
        description="Automatic: bfloat16 on GPUs that have it.",
        json_schema_extra=_extra(
            "Training", choices=[["auto", "Automatic"], ["fp32", "32 bits"], ["bf16", "bfloat16"]]
        ),
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=MAX_SEED,
        title="Seed",
        description="The same seed and settings take the same steps and draw the same scenes.",
        json_schema_extra=_extra("Training"),
    )
    start_from: str = Field(
        default="",
        max_length=60,
        title="Start from",
        description="The code of one of your team's scene experiments whose trained stages are used. Empty: "
        "stages with the very same inputs are found and used again by themselves.",
        json_schema_extra=_extra("Training", widget="scene-experiment"),
    )
    start_through: Literal["autoencoder", "latents", "diffusion"] = Field(
        default="autoencoder",
        title="Use its stages up to",
        json_schema_extra=_extra("Training", choices=[[name, title] for name, title in TRAINED.items()]),
    )
    # --- what is drawn
    scenes: int = Field(
        default=8,
        ge=1,
        le=MAX_SCENES,
        title="Scenes",
        description="Drawn at the end. More can be asked for on the experiment's page.",
        json_schema_extra=_extra("Scenes", unit="scenes"),
    )
    sampler_g: Sampler = _sampler("global")
    steps_g: int = _steps("global")
    guidance_g: float = _guidance("global")
    sampler_c: Sampler = _sampler("coarse")
    steps_c: int = _steps("coarse")
    guidance_c: float = _guidance("coarse")
    sampler_f: Sampler = _sampler("fine")
    steps_f: int = _steps("fine")
    guidance_f: float = _guidance("fine")
    draw_on_maps: bool = Field(
        default=False,
        title="Draw on maps of test scenes",
        description="Each scene on another test scene's map from above. Off: freely.",
        json_schema_extra=_extra("Scenes"),
    )
    evaluate: bool = Field(
        default=True,
        title="Measure",
        description="Held-out pictures, and the scenes' pictures against real ones.",
        json_schema_extra=_extra("Scenes"),
    )

    inception: Text = Field(
        default="",
        title="Inception for FID",
        description="FID's own weights as TorchScript, below a folder that the operator allows. Empty: distances of "
        "EfficientNet-Lite0's features, which are named so and are no FID.",
        json_schema_extra=_extra("Scenes"),
    )

    @field_validator("stride", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if value in ("2", "4", "8") else value  # forms send text

    @field_validator("data")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if value in BUILTIN:
            return value
        if found := reference(value, ("set",)):
            return found
        raise ValueError(f"choose {', '.join(BUILTIN)} or one of your team's sets")

    @field_validator("start_from")
    @classmethod
    def _experiment(cls, value: str) -> str:
        try:
            return str(uuid.UUID(value.strip())) if value.strip() else ""
        except ValueError:
            raise ValueError("write the code of an experiment, as its page's address ends") from None

    @property
    def set_code(self) -> uuid.UUID | None:
        """The team's set; None for a built-in one."""
        place, _, code = self.data.partition("/")
        return uuid.UUID(code) if place == "set" else None

    @property
    def voxels(self) -> tuple[int, int, int]:
        """Z, Y, X."""
        z, y, x = (int(part) for part in self.grid.split("x"))
        return z, y, x

    @property
    def latent_groups(self) -> tuple[str, ...]:
        return tuple(self.groups.split("+"))

    @property
    def draws_cameras(self) -> bool:
        """Whether a scene comes with its own trajectory: without the global latent there is nothing to draw it with."""
        return self.trajectory and "g" in self.latent_groups

    def drawing(self) -> dict[str, dict[str, Any]]:
        """How each latent is drawn: {group: the fields of engine.scenes.diffusion.hierarchy.StageSettings}."""
        return {
            group: {
                "sampler": getattr(self, f"sampler_{group}"),
                "steps": getattr(self, f"steps_{group}"),
                "guidance": getattr(self, f"guidance_{group}"),
            }
            for group in self.latent_groups
        }
