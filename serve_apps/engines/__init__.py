"""One file per engine library; each implements its stage's Protocol in `serve_apps.contracts`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from serve_apps.errors import ConfigError

ENGINES: dict[str, dict[str, str]] = {
    "llm": {
        "ctranslate2": "serve_apps.engines.ctranslate2_llm:CTranslate2Llm",
        "llama_cpp": "serve_apps.engines.llama_cpp:LlamaCppLlm",
        "vllm": "serve_apps.engines.vllm:VllmLlm",
    },
    "stt": {
        "moonshine": "serve_apps.engines.moonshine:MoonshineStt",
        "faster_whisper": "serve_apps.engines.faster_whisper:FasterWhisperStt",
    },
    "tts": {
        "espeak": "serve_apps.engines.espeak:EspeakTts",
        "coqui": "serve_apps.engines.coqui:CoquiTts",
    },
    "embeddings": {
        "ctranslate2": "serve_apps.engines.ctranslate2_embeddings:CTranslate2Embeddings",
        "sentence_transformers": "serve_apps.engines.sentence_transformers:SentenceTransformersEmbeddings",
    },
    "knowledge": {
        "milvus": "serve_apps.engines.milvus:MilvusStore",
    },
    "reranker": {
        "sentence_cosine": "serve_apps.engines.sentence_cosine:SentenceCosineReranker",
        "cross_encoder": "serve_apps.engines.sentence_transformers:CrossEncoderReranker",
    },
}
"""Config name to class, per stage. The module, with its heavy library, is imported in the replica."""


def engine_class(stage: str, name: str) -> type[Any]:
    """The class behind an engine's config name, or behind a `package.module:Class` path.

    Raises:
        ConfigError: no such engine, or its library is not installed.
    """
    path = name if ":" in name else ENGINES[stage].get(name)
    if path is None:
        raise ConfigError(
            f"The {stage} stage has no engine {name!r}.",
            f"Use one of {', '.join(ENGINES[stage])}, or package.module:Class.",
        )
    module, _, attribute = path.partition(":")
    try:
        found: type[Any] = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The {stage} engine {name!r} needs the Python package {error.name!r}, which is not installed.",
            "Install the extra that pyproject.toml names for it, for example pip install 'raydio[vllm]'.",
        ) from error
    return found
