"""Which model a Spec's ``model`` field means, and whether that is allowed. No Django: the runner asks too.

Pickled weights run code when they are loaded, so only safetensors and GGUF are accepted, and a local path must lie in
a directory that the operator listed (CANOPY_MODEL_DIRS): otherwise the field would be a way to read any file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

DEMO_MODEL = "demo/SmolLM2-135M-Instruct"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}


class ModelRefused(ValueError):
    """The model cannot be used; the message says why and what to do."""


def resolve_model(model: str, directories: Sequence[Path]) -> str:
    """What ``engine.sampling.load_model`` takes: the demo model's name, an absolute path, or a hub id ``org/name``.

    A relative name is looked up below each of ``directories`` first. Raises ModelRefused.
    """
    if model == DEMO_MODEL:
        return model
    try:
        local = _find_local(model, directories)
    except (OSError, ValueError) as error:  # a name too long for the file system, a folder we may not read
        raise ModelRefused(f"The model path cannot be read: {error}") from None
    if local is not None:
        _check_weights(local)
        return str(local)
    if _HUB_ID.fullmatch(model):
        return model
    raise ModelRefused(
        f"No model is called {model!r}. Give a directory below {_listed(directories)}, a hub id such as "
        f"HuggingFaceTB/SmolLM2-135M-Instruct, or {DEMO_MODEL}."
    )


def _find_local(model: str, directories: Sequence[Path]) -> Path | None:
    roots = [directory.resolve() for directory in directories]
    if Path(model).is_absolute():
        path = Path(model).resolve()
        if not any(path.is_relative_to(root) for root in roots):
            raise ModelRefused(
                f"{model} lies outside the model directories ({_listed(directories)}). Move the model there, or have "
                "the operator add its directory to CANOPY_MODEL_DIRS."
            )
        if not path.exists():
            raise ModelRefused(f"There is no {model}. Check the path.")
        return path
    # resolve() follows ".." and links, so that neither leads out of the directory.
    found = ((root / model).resolve() for root in roots)
    inside = zip(found, roots, strict=True)
    return next((path for path, root in inside if path != root and path.is_relative_to(root) and path.exists()), None)


def _check_weights(path: Path) -> None:
    files = [path] if path.is_file() else list(path.iterdir())
    suffixes = {file.suffix.lower() for file in files}
    if ".gguf" in suffixes or (".safetensors" in suffixes and path.is_dir()):
        return
    if suffixes & _PICKLED:
        raise ModelRefused(f"{path} holds only pickled weights, which can run code. Convert them to safetensors.")
    raise ModelRefused(f"{path} holds no *.safetensors or *.gguf weights. Give the directory that has them.")


def _listed(directories: Sequence[Path]) -> str:
    return ", ".join(map(str, directories)) or "CANOPY_MODEL_DIRS"
