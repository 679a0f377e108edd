"""Which model a Spec's ``model`` field means, and whether that is allowed. No Django: the runner asks too.

A local path must lie in a directory that the operator listed (CANOPY_MODEL_DIRS): otherwise the field would be a way
to look at any file of the workers. That weights are safetensors or GGUF, never pickles, is the engine's own rule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from engine.models.sources import DEMO_MODEL, ModelError, find_model

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def resolve_model(model: str, directories: Sequence[Path]) -> str:
    """What ``engine.sampling.load_model`` takes: the demo model's name, an absolute path, or a hub id ``org/name``.

    A relative name is looked up below each of ``directories`` first. Local files are checked here; a hub id only by
    its form, because looking it up needs the network. Raises ModelError with what to do.
    """
    if model == DEMO_MODEL:
        return model
    try:
        local = _find_local(model, directories)
        if local is not None:
            return str(find_model(str(local)).path)
    except ModelError:
        raise
    except (OSError, ValueError) as error:  # a name too long for the file system, a folder we may not read
        raise ModelError(f"The model path cannot be read: {error}") from None
    if _HUB_ID.fullmatch(model):
        return model
    raise ModelError(
        f"No model is called {model!r}. Give a model folder or .gguf file below {_listed(directories)}, "
        f"a hub id such as HuggingFaceTB/SmolLM2-135M-Instruct, or {DEMO_MODEL}."
    )


def _find_local(model: str, directories: Sequence[Path]) -> Path | None:
    roots = [directory.resolve() for directory in directories]
    if Path(model).is_absolute():
        path = Path(model).resolve()
        if not any(path.is_relative_to(root) for root in roots):
            raise ModelError(
                f"{model} lies outside the model directories ({_listed(directories)}). Move the model there, or have "
                "the operator add its directory to CANOPY_MODEL_DIRS."
            )
        if not path.exists():
            raise ModelError(f"There is no {model}. Check the path.")
        return path
    for root in roots:
        path = (root / model).resolve()  # follows ".." and links, so that neither leads out of the directory
        if path != root and path.is_relative_to(root) and path.exists():
            return path
    return None


def _listed(directories: Sequence[Path]) -> str:
    return ", ".join(map(str, directories)) or "CANOPY_MODEL_DIRS"
