"""Any embeddings model and any cross-encoder that sentence-transformers runs, on processor or GPU.

Only safetensors weights are read, and no code out of a model's repository is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from serve_apps import weights
from serve_apps.args import EmbeddingsArgs, RerankerArgs
from serve_apps.errors import ConfigError
from serve_apps.wire import ModelCard, QueryVector, Vectors

__all__ = ["CrossEncoderReranker", "SentenceTransformersEmbeddings"]

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

UNKNOWN_MAX_TOKENS = 512
"""Assumed for models that state no limit; BERT's."""


class SentenceTransformersEmbeddings:
    """A sentence-transformers model: a catalogue name, a local folder or a hub id.

    `engine_options` go to `SentenceTransformer(...)`, for example `{device: cuda, revision: main}`.
    """

    def __init__(self, args: EmbeddingsArgs) -> None:
        self._model = _loaded(SentenceTransformer, args)
        dimensions = self._model.get_embedding_dimension()
        if dimensions is None:
            raise ConfigError(f"{args.model!r} does not say how long its vectors are.", "Use another model.")
        self.dimensions = int(dimensions)
        self.max_tokens = int(self._model.max_seq_length or UNKNOWN_MAX_TOKENS)
        self._batch_texts = args.batch_texts
        details = {"dimensions": str(self.dimensions), "max tokens": str(self.max_tokens)}
        self.card = _card("embeddings", args, self._model, details)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """L2-normalised vectors, float32, shape (len(texts), dimensions); cut at `max_tokens`."""
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        vectors = self._model.encode(
            list(texts),
            batch_size=self._batch_texts,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, np.float32)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens of all texts together, as the model reads them."""
        ids = self._model.tokenizer(list(texts), truncation=True, max_length=self.max_tokens)["input_ids"]
        return sum(len(row) for row in ids)

    def close(self) -> None:
        """Free the model."""
        del self._model


class CrossEncoderReranker:
    """A cross-encoder with one output: a catalogue name, a local folder or a hub id.

    `engine_options` go to `CrossEncoder(...)`, for example `{device: cuda, max_length: 512}`.
    """

    def __init__(self, args: RerankerArgs) -> None:
        self._model = _loaded(CrossEncoder, args)
        if self._model.num_labels != 1:
            raise ConfigError(
                f"{args.model!r} gives {self._model.num_labels} numbers a pair, not one score.",
                "Use a cross-encoder that was trained for ranking.",
            )
        self.card = _card("reranker", args, self._model, {})

    def score(
        self,
        query: str,
        passages: Sequence[str],
        vector: QueryVector | None = None,  # noqa: ARG002
    ) -> list[float]:
        """One score a passage, on the model's own scale; higher is better."""
        if not passages:
            return []
        pairs = [(query, passage) for passage in passages]
        scores = self._model.predict(pairs, show_progress_bar=False, convert_to_numpy=True)
        return [float(score) for score in scores]

    def close(self) -> None:
        """Free the model."""
        del self._model


def _loaded(kind: Any, args: EmbeddingsArgs | RerankerArgs) -> Any:
    torch.set_num_threads(args.n_threads)
    found = weights.locate(args.model)
    options = dict(args.engine_options)
    # After the operator's options: these two are not theirs to weaken.
    options["model_kwargs"] = (
        _model_kwargs(args) | options.get("model_kwargs", {}) | {"use_safetensors": True}
    )
    options["trust_remote_code"] = False
    try:
        return kind(str(found or args.model), **options)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"sentence-transformers cannot load {args.model!r} ({_first_line(error)}).",
            "Name a folder or hub id with safetensors weights that needs no code of its own.",
        ) from error


def _model_kwargs(args: EmbeddingsArgs | RerankerArgs) -> dict[str, Any]:
    if "precision" not in args.model_fields_set:  # the default is another engine's; keep the model's own
        return {}
    if args.precision not in PRECISIONS:
        raise ConfigError(
            f"The sentence_transformers engine has no precision {args.precision!r}.",
            f"Use one of {', '.join(PRECISIONS)}.",
        )
    return {"dtype": PRECISIONS[args.precision]}


def _card(stage: str, args: EmbeddingsArgs | RerankerArgs, model: Any, details: dict[str, str]) -> ModelCard:
    entry = weights.catalogue().get(args.model)
    parameters = list(model.parameters())
    precision = str(parameters[0].dtype).removeprefix("torch.")
    return ModelCard(
        stage=stage,
        engine=args.engine,
        model=entry.title if entry else args.model.rstrip("/").rsplit("/", 1)[-1],
        size_bytes=sum(p.numel() * p.element_size() for p in parameters),
        licence=entry.licence if entry else "unknown",
        source=entry.source if entry else args.model,
        details={
            "precision": precision,
            "device": str(model.device),
            "threads": str(args.n_threads),
            **details,
        },
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
