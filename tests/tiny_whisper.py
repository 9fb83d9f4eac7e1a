"""A random Whisper of a few hundred thousand weights, as a CTranslate2 folder, without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from ctranslate2.specs.whisper_spec import WhisperSpec
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

N_LAYERS, N_HEADS, N_WIDTH, N_MELS, N_FRAMES, N_TOKENS = 2, 2, 64, 80, 1500, 448
LANGUAGES = ("en", "de", "fr")
SPECIALS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
"""In Whisper's order: text ends where they begin, timestamps begin where they end."""
TIMESTAMPS = tuple(f"<|{n * 0.02:.2f}|>" for n in range(1501))
OPTIONS = {
    "beam_size": 1,
    "temperature": 0.0,
    "max_new_tokens": 12,
    "no_speech_threshold": None,
    "log_prob_threshold": None,
    "compression_ratio_threshold": None,
}
"""Without them a random model's babble is thrown away, or goes on until its context is full."""


def tokenizer() -> Tokenizer:
    """One token a byte, the empty one that CTranslate2 takes for multilingual, and the specials."""
    symbols = [*sorted(pre_tokenizers.ByteLevel.alphabet()), ""]
    found = Tokenizer(models.BPE({symbol: n for n, symbol in enumerate(symbols)}, []))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    found.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    found.add_tokens([AddedToken(token, special=False) for token in TIMESTAMPS])
    return found


def write(folder: Path) -> Path:
    """Write the model, its tokenizer and its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    ids = words.get_vocab()
    spec = WhisperSpec(N_LAYERS, N_HEADS, N_LAYERS, N_HEADS)
    _fill(spec, len(ids))
    spec.register_vocabulary(sorted(ids, key=ids.__getitem__))
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [ids["<|endoftext|>"]]
    spec.config.lang_ids = [ids[f"<|{code}|>"] for code in LANGUAGES]
    spec.config.alignment_heads = [(1, 0), (1, 1)]
    spec.validate()
    spec.save(str(folder))
    words.save(str(folder / "tokenizer.json"))
    features = {
        "feature_size": N_MELS,
        "sampling_rate": 16_000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(features))
    return folder


def _fill(spec: WhisperSpec, n_words: int) -> None:
    """Give every layer random weights of the right shape."""
    random = np.random.default_rng(7)

    def weights(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)

    embeddings = 4 * weights(n_words, N_WIDTH)
    for conv, n_in in ((spec.encoder.conv1, N_MELS), (spec.encoder.conv2, N_WIDTH)):
        conv.weight, conv.bias = weights(N_WIDTH, n_in, 3), np.zeros(N_WIDTH, np.float32)
    spec.encoder.position_encodings.encodings = weights(N_FRAMES, N_WIDTH)
    spec.decoder.position_encodings.encodings = weights(N_TOKENS, N_WIDTH)
    spec.decoder.embeddings.weight = embeddings
    spec.decoder.projection.weight = embeddings
    for norm in _norms(spec):
        norm.gamma, norm.beta = np.ones(N_WIDTH, np.float32), np.zeros(N_WIDTH, np.float32)
    for linear, n_out, n_in in _linears(spec):
        linear.weight, linear.bias = weights(n_out, n_in), np.zeros(n_out, np.float32)


def _layers(spec: WhisperSpec) -> Iterator[tuple[list[transformer_spec.MultiHeadAttentionSpec], object]]:
    for layer in spec.encoder.layer:
        yield [layer.self_attention], layer.ffn
    for layer in spec.decoder.layer:
        yield [layer.self_attention, layer.attention], layer.ffn


def _norms(spec: WhisperSpec) -> Iterator[common_spec.LayerNormSpec]:
    yield spec.encoder.layer_norm
    yield spec.decoder.layer_norm
    for attentions, ffn in _layers(spec):
        yield from (attention.layer_norm for attention in attentions)
        yield ffn.layer_norm


def _linears(spec: WhisperSpec) -> Iterator[tuple[common_spec.LinearSpec, int, int]]:
    """Every linear layer with its sizes: self-attention has q, k and v in one, cross-attention k and v."""
    for attentions, ffn in _layers(spec):
        for attention in attentions:
            parts = (3, 1) if len(attention.linear) == 2 else (1, 2, 1)
            yield from (
                (linear, n * N_WIDTH, N_WIDTH) for linear, n in zip(attention.linear, parts, strict=True)
            )
        yield ffn.linear_0, 4 * N_WIDTH, N_WIDTH
        yield ffn.linear_1, N_WIDTH, 4 * N_WIDTH
