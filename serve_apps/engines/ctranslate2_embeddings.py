"""Text embeddings with CTranslate2's encoder: BERT models, int8 or float32, no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import ctranslate2
import numpy as np
from tokenizers import Encoding, Tokenizer

from serve_apps import weights
from serve_apps.args import EmbeddingsArgs, RerankerArgs
from serve_apps.engines.bert_weights import converted, read_config
from serve_apps.errors import ConfigError
from serve_apps.wire import ModelCard, Vectors

__all__ = ["CTranslate2Embeddings"]

BATCH_TOKENS = 512
"""Tokens, padding included, that go through the encoder together. Measured with MiniLM int8 on one
thread: 64 texts of 150 tokens run three times as fast in batches that stay in the processor's cache,
and batches of short texts gain nothing above it."""

CHARACTERS_PER_TOKEN = 64
"""No token of natural text is longer. What follows this many characters for each token that the model
reads is dropped before the tokenizer, which would otherwise read all of a 50 MB line."""

_OLD_MODES = {
    "cls_token",
    "max_tokens",
    "mean_tokens",
    "mean_sqrt_len_tokens",
    "weightedmean_tokens",
    "lasttoken",
}


class CTranslate2Embeddings:
    """A BERT sentence encoder on the processor.

    Pooling is the mean over a text's tokens (or its first token, where the model's
    `1_Pooling/config.json` says so), then L2 normalisation. Empty texts have a valid vector too: the
    one of `[CLS] [SEP]`.
    """

    def __init__(self, args: EmbeddingsArgs | RerankerArgs) -> None:
        source, model = converted(args.model, args.precision)
        self.dimensions = read_config(source).hidden_size
        self.max_tokens = _max_tokens(source)
        self._pools_first_token = _pools_first_token(source)
        self._tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_tokens)
        options = {"compute_type": "default", "intra_threads": args.n_threads, **args.engine_options}
        self._encoder = ctranslate2.Encoder(str(model), **options)
        self.card = self._card(args, model)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """L2-normalised vectors, float32, shape (len(texts), dimensions); cut at `max_tokens`."""
        encodings = self._encode(texts)
        vectors = np.empty((len(encodings), self.dimensions), np.float32)
        # Texts of one length together: the encoder pads each batch to its longest.
        for batch in _batches([len(encoding.ids) for encoding in encodings]):
            vectors[batch] = self._forward([encodings[index].ids for index in batch])
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens of all texts together, as the model reads them: with `[CLS]`, `[SEP]`, and cut."""
        return sum(len(encoding.ids) for encoding in self._encode(texts))

    def close(self) -> None:
        """Free the model."""
        self._encoder.unload_model()

    def _encode(self, texts: Sequence[str]) -> list[Encoding]:
        limit = self.max_tokens * CHARACTERS_PER_TOKEN
        return self._tokenizer.encode_batch_fast([_readable(text[:limit]) for text in texts])

    def _forward(self, ids: list[list[int]]) -> Vectors:
        hidden = np.asarray(self._encoder.forward_batch(ids).last_hidden_state)
        pooled = hidden[:, 0] if self._pools_first_token else _means(hidden, [len(row) for row in ids])
        return _normalised(pooled)

    def _card(self, args: EmbeddingsArgs | RerankerArgs, model: Path) -> ModelCard:
        entry = weights.catalogue().get(args.model)
        return ModelCard(
            stage="embeddings",
            engine="ctranslate2",
            model=entry.title if entry else Path(args.model).name,
            size_bytes=(model / "model.bin").stat().st_size,
            licence=entry.licence if entry else "unknown",
            source=entry.source if entry else args.model,
            details={
                "precision": args.precision,
                "threads": str(args.n_threads),
                "dimensions": str(self.dimensions),
                "max tokens": str(self.max_tokens),
            },
        )


def _readable(text: str) -> str:
    """The text without lone surrogates, which JSON can carry but no tokenizer reads."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Positions of texts of about one length, at most `BATCH_TOKENS` a batch once padded."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _means(hidden: Vectors, lengths: list[int]) -> Vectors:
    """Mean over each row's real tokens: (n, longest, d) to (n, d)."""
    return np.stack([row[:length].mean(axis=0) for row, length in zip(hidden, lengths, strict=True)])


def _normalised(vectors: Vectors) -> Vectors:
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, np.newaxis]
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)


def _max_tokens(source: Path) -> int:
    """The length that the model was tuned for, at most the one that it has positions for."""
    positions = read_config(source).max_position_embeddings
    tuned = _read_json(source / "sentence_bert_config.json").get("max_seq_length")
    # Since sentence-transformers 6 the tokenizer's configuration says it, where others have 512 or 1e30.
    tuned = tuned or _read_json(source / "tokenizer_config.json").get("model_max_length")
    return int(min(positions, tuned)) if isinstance(tuned, int | float) else positions


def _pools_first_token(source: Path) -> bool:
    """Whether the model takes its first token's vector; the mean of all is the default."""
    pooling = _read_json(source / "1_Pooling" / "config.json")
    # One word since sentence-transformers 6, before it a flag a mode.
    flags = {name.removeprefix("pooling_mode_") for name, value in pooling.items() if value is True}
    mode = str(pooling.get("pooling_mode") or "+".join(sorted(flags & _OLD_MODES)) or "mean")
    if mode.removesuffix("_tokens") == "mean":
        return False
    if mode.removesuffix("_token") == "cls":
        return True
    raise ConfigError(
        f"{source} pools with {mode!r}, which the ctranslate2 engine does not do.",
        "Use engine: sentence_transformers.",
    )


def _read_json(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_text("utf-8"))
    return content if isinstance(content, dict) else {}
