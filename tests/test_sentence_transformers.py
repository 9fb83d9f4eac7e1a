"""The sentence-transformers engine on tiny random models made here, and MiniLM through both engines.

Needs torch: `make test-sentence-transformers` runs it in a virtual environment of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="run `make test-sentence-transformers` for these tests")

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

from serve_apps import weights
from serve_apps.args import EmbeddingsArgs, RerankerArgs
from serve_apps.embeddings import EmbeddingsStage
from serve_apps.engines.ctranslate2_embeddings import CTranslate2Embeddings
from serve_apps.engines.sentence_transformers import CrossEncoderReranker, SentenceTransformersEmbeddings
from serve_apps.errors import ConfigError
from serve_apps.reranker import RerankerStage

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefghijklmnop",
    "cat",
    "dog",
    "sat",
    "on",
    "the",
    "mat",
]
TINY = {
    "vocab_size": len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
DATA = Path(__file__).parent / "data"


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT with mean pooling, as sentence-transformers saves it."""
    torch.manual_seed(7)
    bert = save(BertModel(BertConfig(**TINY)), tmp_path_factory.mktemp("bert"))
    transformer = Transformer(str(bert), max_seq_length=32)
    folder = tmp_path_factory.mktemp("encoder")
    pooling = Pooling(transformer.get_embedding_dimension(), "mean")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(8)
    model = BertForSequenceClassification(BertConfig(**TINY, num_labels=1))
    return save(model, tmp_path_factory.mktemp("cross"))


def test_embeds_like_the_library(encoder: Path) -> None:
    engine = SentenceTransformersEmbeddings(EmbeddingsArgs(model=str(encoder)))
    texts = ["the cat sat on the mat", "", "dog", "a b c " * 50]
    vectors = engine.embed(texts)
    direct = SentenceTransformer(str(encoder), device="cpu").encode(texts, normalize_embeddings=True)
    assert np.allclose(vectors, direct, atol=1e-6)
    assert vectors.dtype == np.float32
    assert (engine.dimensions, engine.max_tokens) == (32, 32)
    assert engine.count_tokens(["the cat", "a b c " * 50]) == 4 + 32
    assert engine.embed([]).shape == (0, 32)
    assert engine.card.size_bytes > 0
    assert torch.get_num_threads() == 1


async def test_serves_as_a_stage(encoder: Path) -> None:
    stage = EmbeddingsStage(EmbeddingsArgs(engine="sentence_transformers", model=str(encoder)))
    assert (await stage.embed(["cat", "dog"])).shape == (2, 32)


def test_ctranslate2_reads_the_same_folder(encoder: Path) -> None:
    texts = ["the cat sat on the mat", "", "dog", "a b c " * 50]
    theirs = SentenceTransformersEmbeddings(EmbeddingsArgs(model=str(encoder))).embed(texts)
    ours = CTranslate2Embeddings(EmbeddingsArgs(model=str(encoder), precision="float32")).embed(texts)
    assert np.abs(ours - theirs).max() < 1e-4


def test_minilm_is_equal_on_a_hundred_sentences(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (DATA / "retrieval.jsonl").read_text("utf-8").splitlines()]
    texts = [text for row in rows for text in (row["query"], row["relevant"], *row["distractors"])][:97]
    texts += ["", "\U0001f389 emoji", "word " * 1000]
    theirs = SentenceTransformersEmbeddings(EmbeddingsArgs(model=str(minilm_folder(tmp_path)))).embed(texts)
    ours = CTranslate2Embeddings(EmbeddingsArgs(precision="float32")).embed(texts)
    assert len(texts) == 100
    assert np.abs(ours - theirs).max() < 1e-4


def minilm_folder(tmp_path: Path) -> Path:
    """The catalogue's files with the module list that makes a folder a sentence-transformers model."""
    folder = Path(shutil.copytree(weights.ensure("all-minilm-l6-v2"), tmp_path / "minilm"))
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def test_precision(encoder: Path) -> None:
    half = SentenceTransformersEmbeddings(EmbeddingsArgs(model=str(encoder), precision="bfloat16"))
    assert half.card.details["precision"] == "bfloat16"
    assert half.embed(["cat"]).dtype == np.float32
    with pytest.raises(ConfigError, match="no precision 'int8'"):
        SentenceTransformersEmbeddings(EmbeddingsArgs(model=str(encoder), precision="int8"))


async def test_cross_encoder_scores_like_the_library(cross_encoder: Path) -> None:
    args = RerankerArgs(engine="cross_encoder", model=str(cross_encoder))
    passages = ["the cat", "a dog sat on the mat", "", "b"]
    direct = CrossEncoder(str(cross_encoder), device="cpu").predict([("the mat", text) for text in passages])
    scores = CrossEncoderReranker(args).score("the mat", passages)
    assert np.allclose(scores, direct, atol=1e-6)
    ranked = await RerankerStage(args).rank("the mat", passages)
    assert [item.index for item in ranked] == [int(i) for i in np.argsort(-direct, kind="stable")]
    assert CrossEncoderReranker(args).score("the mat", []) == []


def test_a_classifier_is_no_reranker(tmp_path: Path) -> None:
    model = BertForSequenceClassification(BertConfig(**TINY, num_labels=3))
    with pytest.raises(ConfigError, match="3 numbers a pair"):
        CrossEncoderReranker(RerankerArgs(engine="cross_encoder", model=str(save(model, tmp_path))))


def test_pickled_weights_are_refused(encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(encoder, tmp_path / "pickled"))
    (folder / "model.safetensors").unlink()
    torch.save(BertModel(BertConfig(**TINY)).state_dict(), folder / "pytorch_model.bin")
    for options in ({}, {"model_kwargs": {"use_safetensors": False}}):
        with pytest.raises(ConfigError, match="cannot load"):
            SentenceTransformersEmbeddings(EmbeddingsArgs(model=str(folder), engine_options=options))


def test_code_in_a_model_is_not_run(encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(encoder, tmp_path / "remote"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ConfigError, match="cannot load"):
        SentenceTransformersEmbeddings(
            EmbeddingsArgs(model=str(folder), engine_options={"trust_remote_code": True})
        )
