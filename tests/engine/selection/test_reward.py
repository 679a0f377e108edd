from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, BertConfig

from engine.models import ModelError
from engine.selection.reward import RewardModel, linear_head, load_reward_model
from tests.tiny_model import VOCABULARY, build_tiny_model, build_tokenizer

PAIRS = [("What is 3 + 4?", "7"), ("What is 3 + 4?", "The answer is 7, of course it is."), ("", ""), ("q " * 400, "7")]


def build_classifier(path: Path, *, outputs: int = 1, model_type: str = "llama") -> Path:
    """A tiny sequence classifier with random weights and a chat template."""
    tokenizer = build_tokenizer()
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model(
        model_type,
        vocab_size=VOCABULARY,
        num_labels=outputs,
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=256,
        initializer_range=0.3,
        **shape,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(path, safe_serialization=True)
    if isinstance(config, BertConfig):
        tokenizer.chat_template = None
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    return load_reward_model(str(build_classifier(tmp_path_factory.mktemp("reward"))), device="cpu")


def test_scores_are_the_classifiers_logit_for_each_pair_alone(classifier: RewardModel) -> None:
    scores = classifier.score(PAIRS, batch=4)
    for (question, answer), score in zip(PAIRS, scores, strict=True):
        text = classifier.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], tokenize=False
        )
        ids = torch.tensor([classifier.tokenizer(text, add_special_tokens=False)["input_ids"][-256:]])
        with torch.no_grad():
            # The whole row is real: no padding is guessed from the token's id, which equals the end token's here.
            hidden = classifier.module.model(input_ids=ids).last_hidden_state[0, -1]
            expected = classifier.module.score(hidden)[0]
        assert score == pytest.approx(float(expected), abs=1e-4)


def test_batches_do_not_change_scores_and_order_is_kept(classifier: RewardModel) -> None:
    np.testing.assert_allclose(classifier.score(PAIRS, batch=1), classifier.score(PAIRS, batch=3), atol=1e-5)
    np.testing.assert_allclose(classifier.score(PAIRS[::-1]), classifier.score(PAIRS)[::-1], atol=1e-5)
    assert classifier.score([]).shape == (0,)
    assert len(set(np.round(classifier.score(PAIRS), 4))) == 4


def test_an_encoder_without_a_chat_template_reads_a_text_pair(tmp_path: Path) -> None:
    model = load_reward_model(str(build_classifier(tmp_path, model_type="bert")), device="cpu")
    ids = torch.tensor([model.tokenizer("What?", "7")["input_ids"]])
    with torch.no_grad():
        expected = float(model.module(input_ids=ids).logits[0, 0])
    scores = model.score([("What?", "7"), ("A much longer question than the other?", "7")])
    assert scores[0] == pytest.approx(expected, abs=1e-5)


def test_a_head_of_its_own_comes_by_an_adapter(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "body")
    weight = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    save_file(
        {"regression.weight": weight, "regression.bias": torch.tensor([0.0, 0.5, 1.0])}, tmp_path / "h.safetensors"
    )
    head = linear_head(tmp_path / "h.safetensors", "regression.weight", "regression.bias", row=1)
    model = load_reward_model(str(folder), device="cpu", head=head)
    body = AutoModel.from_pretrained(folder)
    ids = torch.tensor([model._encode(*PAIRS[0])])
    with torch.no_grad():
        expected = body(input_ids=ids).last_hidden_state[0, -1] @ weight[1] + 0.5
    assert model.score(PAIRS[:3])[0] == pytest.approx(float(expected), abs=1e-4)


def test_several_outputs_need_a_label(tmp_path: Path) -> None:
    folder = str(build_classifier(tmp_path, outputs=3))
    with pytest.raises(ModelError, match=r"label=0\.\.2"):
        load_reward_model(folder, device="cpu")
    with pytest.raises(ModelError, match="not one of them"):
        load_reward_model(folder, device="cpu", label=3)
    first, second = (load_reward_model(folder, device="cpu", label=label).score(PAIRS[:1]) for label in (0, 2))
    assert first[0] != second[0]


def test_it_refuses_a_language_model_pickles_gguf_and_foreign_code(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no sequence classifier"):
        load_reward_model(str(build_tiny_model(tmp_path / "lm")))
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text('{"model_type": "llama"}')
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="pickled"):
        load_reward_model(str(pickled))
    (tmp_path / "m.gguf").write_bytes(b"x")
    with pytest.raises(ModelError, match="GGUF"):
        load_reward_model(str(tmp_path / "m.gguf"))
    own = build_classifier(tmp_path / "own")
    text = (
        (own / "config.json")
        .read_text()
        .replace('"model_type": "llama"', '"model_type": "armo", "auto_map": {"A": "b"}')
    )
    (own / "config.json").write_text(text)
    with pytest.raises(ModelError, match="code of its own"):
        load_reward_model(str(own))


def test_a_head_must_be_safetensors_hold_the_tensor_and_give_one_score_each(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a safetensors"):
        linear_head(tmp_path / "h.bin", "w")
    save_file({"other": torch.zeros(1, 32)}, tmp_path / "h.safetensors")
    with pytest.raises(ModelError, match="it has other"):
        linear_head(tmp_path / "h.safetensors", "w")
    model = load_reward_model(str(build_tiny_model(tmp_path / "body")), device="cpu", head=lambda hidden: hidden)
    with pytest.raises(ModelError, match="must give shape"):
        model.score(PAIRS[:1])
