"""MiniLM in CTranslate2 against what sentence-transformers made of the same texts, and bad models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from serve_apps import weights
from serve_apps.args import EmbeddingsArgs
from serve_apps.engines.ctranslate2_embeddings import CTranslate2Embeddings
from serve_apps.errors import ConfigError
from serve_apps.settings import settings

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def int8() -> CTranslate2Embeddings:
    return CTranslate2Embeddings(EmbeddingsArgs())


@pytest.fixture(scope="module")
def float32() -> CTranslate2Embeddings:
    return CTranslate2Embeddings(EmbeddingsArgs(precision="float32"))


@pytest.fixture
def model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of MiniLM's files to break, and a cache of its own for conversions."""
    copy = Path(shutil.copytree(weights.ensure("all-minilm-l6-v2"), tmp_path / "model"))
    monkeypatch.setenv("RAYDIO_CACHE", str(tmp_path / "cache"))
    settings.cache_clear()
    return copy


def golden() -> tuple[list[str], NDArray[np.float32]]:
    """Texts and what sentence-transformers 6.2.0 with torch 2.13.0 makes of them, float32."""
    texts = json.loads((DATA / "minilm_golden.json").read_text("utf-8"))
    return texts, np.load(DATA / "minilm_golden.npy")


def edited(folder: Path, **changes: Any) -> Path:
    """The folder with other values in its config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_float32_equals_sentence_transformers(float32: CTranslate2Embeddings) -> None:
    texts, expected = golden()
    assert np.abs(float32.embed(texts) - expected).max() < 1e-5


def test_int8_is_near_sentence_transformers(int8: CTranslate2Embeddings) -> None:
    texts, expected = golden()
    cosines = (int8.embed(texts) * expected).sum(axis=1)
    assert cosines.min() > 0.97
    assert np.median(cosines) > 0.995


def test_vectors_do_not_depend_on_company(float32: CTranslate2Embeddings) -> None:
    texts, _ = golden()
    alone = np.concatenate([float32.embed([text]) for text in texts])
    assert np.abs(float32.embed(texts * 3)[: len(texts)] - alone).max() < 1e-5


def test_shape_type_and_norm(int8: CTranslate2Embeddings) -> None:
    vectors = int8.embed([f"text number {i}" for i in range(50)])
    assert vectors.shape == (50, int8.dimensions) == (50, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert int8.embed([]).shape == (0, 384)


def test_long_texts_are_cut_where_the_model_was_tuned(int8: CTranslate2Embeddings) -> None:
    assert int8.max_tokens == 256
    assert int8.count_tokens(["", "hello world", "word " * 5000]) == 2 + 4 + 256
    start = "word " * 254
    assert np.allclose(int8.embed([start]), int8.embed([start + "something else entirely"]), atol=1e-6)


@pytest.mark.parametrize(
    "text",
    ["", " \n\t", "🎉🎉🎉", "\ud800 half an emoji", "\x00\x07", "مرحبا", "x" * 100_000, "word " * 10_000_000],
    ids=["empty", "blank", "emoji", "surrogate", "control", "arabic", "one long word", "50 MB"],
)
def test_odd_texts_have_valid_vectors(int8: CTranslate2Embeddings, text: str) -> None:
    assert np.linalg.norm(int8.embed([text])) == pytest.approx(1, abs=1e-5)


def test_int8_retrieves_as_well_as_float32(
    int8: CTranslate2Embeddings, float32: CTranslate2Embeddings
) -> None:
    exact, quantized = retrieval_quality(float32.embed), retrieval_quality(int8.embed)
    assert exact["mrr"] > 0.8
    # Measured on these 30 queries over 90 passages: see BOUND.
    for measure, bound in BOUND.items():
        assert quantized[measure] >= exact[measure] - bound


BOUND = {"recall@1": 0.04, "recall@3": 0.04, "recall@10": 0.04, "mrr": 0.02}
"""One query of thirty may move."""


def retrieval_quality(embed: Callable[[list[str]], NDArray[np.float32]]) -> dict[str, float]:
    rows = [json.loads(line) for line in (DATA / "retrieval.jsonl").read_text("utf-8").splitlines()]
    passages = [passage for row in rows for passage in (row["relevant"], *row["distractors"])]
    similarities = embed([row["query"] for row in rows]) @ embed(passages).T
    relevant = np.array([[passages.index(row["relevant"])] for row in rows])
    ranks = 1 + (similarities > np.take_along_axis(similarities, relevant, axis=1)).sum(axis=1)
    recalls = {f"recall@{k}": float((ranks <= k).mean()) for k in (1, 3, 10)}
    return {**recalls, "mrr": float((1 / ranks).mean())}


def test_a_folder_works_like_the_catalogue(model_folder: Path, float32: CTranslate2Embeddings) -> None:
    engine = CTranslate2Embeddings(EmbeddingsArgs(model=str(model_folder), precision="float32"))
    assert np.array_equal(engine.embed(["hello"]), float32.embed(["hello"]))
    assert engine.card.model == "model"
    engine.close()


def pooling(folder: Path, **config: Any) -> Path:
    """The folder with a pooling configuration."""
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("config", [{"pooling_mode_cls_token": True}, {"pooling_mode": "cls"}])
def test_first_token_pooling_when_the_model_says_so(
    model_folder: Path, float32: CTranslate2Embeddings, config: dict[str, Any]
) -> None:
    folder = pooling(model_folder, **config)
    engine = CTranslate2Embeddings(EmbeddingsArgs(model=str(folder), precision="float32"))
    assert np.linalg.norm(engine.embed(["hello there"])) == pytest.approx(1, abs=1e-5)
    assert not np.allclose(engine.embed(["hello there"]), float32.embed(["hello there"]), atol=0.1)
    engine.close()


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({"pooling_mode_max_tokens": True}, "max_tokens"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, r"cls_token\+mean_tokens"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
    ],
)
def test_unknown_pooling_is_refused(model_folder: Path, config: dict[str, Any], mode: str) -> None:
    with pytest.raises(ConfigError, match=f"'{mode}'"):
        CTranslate2Embeddings(EmbeddingsArgs(model=str(pooling(model_folder, **config))))


def test_the_length_can_stand_in_the_tokenizers_configuration(model_folder: Path) -> None:
    (model_folder / "sentence_bert_config.json").write_text("{}")
    (model_folder / "tokenizer_config.json").write_text('{"model_max_length": 32}')
    assert CTranslate2Embeddings(EmbeddingsArgs(model=str(model_folder))).max_tokens == 32
    (model_folder / "tokenizer_config.json").write_text('{"model_max_length": 1e30}')
    assert CTranslate2Embeddings(EmbeddingsArgs(model=str(model_folder))).max_tokens == 512


def test_models_with_a_head_lose_its_prefix(model_folder: Path, float32: CTranslate2Embeddings) -> None:
    path = model_folder / "model.safetensors"
    save_file({f"bert.{name}": tensor for name, tensor in load_file(path).items()}, path)
    engine = CTranslate2Embeddings(EmbeddingsArgs(model=str(model_folder), precision="float32"))
    assert np.array_equal(engine.embed(["hello"]), float32.embed(["hello"]))
    engine.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "model_type"),
        ({"hidden_act": "mish"}, "hidden_act"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"num_hidden_layers": 7}, "damaged or incomplete"),
    ],
)
def test_what_is_not_a_bert_encoder_is_refused(
    model_folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        CTranslate2Embeddings(EmbeddingsArgs(model=str(edited(model_folder, **changes))))


def test_pickled_weights_are_refused(model_folder: Path) -> None:
    (model_folder / "model.safetensors").rename(model_folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"no model\.safetensors"):
        CTranslate2Embeddings(EmbeddingsArgs(model=str(model_folder)))


def test_truncated_weights_are_refused_and_not_cached(model_folder: Path) -> None:
    path = model_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1_000_000])
    for _ in range(2):
        with pytest.raises(ConfigError, match="damaged or incomplete"):
            CTranslate2Embeddings(EmbeddingsArgs(model=str(model_folder)))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="no embeddings model 'someone/some-model'"):
        CTranslate2Embeddings(EmbeddingsArgs(model="someone/some-model"))
    with pytest.raises(ConfigError, match="no precision 'int4'"):
        CTranslate2Embeddings(EmbeddingsArgs(precision="int4"))
