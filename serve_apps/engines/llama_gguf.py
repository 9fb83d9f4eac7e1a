"""Read a Llama-family model with a byte-level vocabulary from a GGUF file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, TokenType
from gguf.quants import dequantize
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from serve_apps.engines.llama_weights import LlamaModel, RotaryScaling, Tensor
from serve_apps.errors import UnsupportedOption, WeightsError

LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOP_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def read_gguf(path: Path) -> LlamaModel:
    """Open a GGUF file; tensors are dequantised when they are asked for.

    Raises:
        WeightsError: not a GGUF file.
        UnsupportedOption: another family, a SentencePiece vocabulary, or an unknown pre-tokenizer.
    """
    reader = _open(path)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    _check_supported(reader, facts)
    tokens: list[str] = facts["tokenizer.ggml.tokens"]
    n_heads = facts["llama.attention.head_count"]
    n_heads_kv = facts.get("llama.attention.head_count_kv", n_heads)
    default_head_size = facts["llama.embedding_length"] // n_heads
    return LlamaModel(
        n_layers=facts["llama.block_count"],
        n_heads=n_heads,
        n_heads_kv=n_heads_kv,
        head_size=facts.get("llama.attention.key_length", default_head_size),
        rotary_base=facts.get("llama.rope.freq_base", 10_000.0),
        rotary_scaling=_rotary_scaling(facts),
        norm_epsilon=facts["llama.attention.layer_norm_rms_epsilon"],
        context_tokens=facts["llama.context_length"],
        tensor=_Tensors(reader, n_heads, n_heads_kv),
        tokens=tokens,
        tokenizer=_tokenizer(facts),
        chat_template=facts.get("tokenizer.chat_template", ""),
        bos=tokens[facts.get("tokenizer.ggml.bos_token_id", facts["tokenizer.ggml.eos_token_id"])],
        unknown=tokens[facts.get("tokenizer.ggml.unknown_token_id", 0)],
        ends=_ends(facts),
        facts={"title": facts.get("general.name", path.stem), "licence": facts.get("general.license", "")},
    )


class _Tensors:
    """Weights of an open GGUF file by their Hugging Face names."""

    def __init__(self, reader: GGUFReader, n_heads: int, n_heads_kv: int) -> None:
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._n_heads = {"attn_q": n_heads, "attn_k": n_heads_kv}

    def __call__(self, name: str) -> Tensor | None:
        layer, _, part = name.removeprefix("model.layers.").partition(".")
        short = TOP_NAMES.get(name) or LAYER_NAMES[part]
        found = self._tensors.get(f"{short}.weight" if name in TOP_NAMES else f"blk.{layer}.{short}.weight")
        if found is None:
            return None
        weight = dequantize(found.data, found.tensor_type).astype(np.float32)  # a copy: the file is read-only
        return _halves(weight, self._n_heads[short]) if short in self._n_heads else weight


def _halves(weight: Tensor, n_heads: int) -> Tensor:
    """Undo GGUF's row order, where rotary pairs are neighbours, to pairs half a head apart."""
    pairs = weight.reshape(n_heads, -1, 2, weight.shape[1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weight.shape)


def _open(path: Path) -> GGUFReader:
    try:
        return GGUFReader(path)
    except (ValueError, IndexError, OSError) as error:
        raise WeightsError(
            f"{path.name} is not a readable GGUF file: {error}.", "Get the file again."
        ) from error


def _check_supported(reader: GGUFReader, facts: dict[str, Any]) -> None:
    instead = "Use engine llama_cpp for this file, or a Hugging Face folder of a Llama-family model."
    if facts.get("general.architecture") != "llama":
        raise UnsupportedOption(
            f"The ctranslate2 engine reads Llama-family models, not {facts.get('general.architecture')!r}.",
            instead,
        )
    if facts.get("tokenizer.ggml.model") != "gpt2":
        raise UnsupportedOption("This GGUF file's vocabulary is not a byte-level BPE.", instead)
    if facts.get("tokenizer.ggml.pre", "gpt-2") not in PRE_TOKENIZERS:
        raise UnsupportedOption(f"Unknown pre-tokenizer {facts['tokenizer.ggml.pre']!r}.", instead)
    names = {tensor.name for tensor in reader.tensors}
    if "rope_freqs.weight" in names or "llama.expert_count" in facts:
        raise UnsupportedOption("This GGUF file uses rotary factors or experts.", instead)
    if any(re.search(r"attn_[qkvo]\w*\.bias$", name) for name in names):
        raise UnsupportedOption("This GGUF file has attention biases.", instead)


def _rotary_scaling(facts: dict[str, Any]) -> RotaryScaling | None:
    kind = facts.get("llama.rope.scaling.type", "none")
    return None if kind == "none" else RotaryScaling(kind=kind, factor=facts["llama.rope.scaling.factor"])


def _ends(facts: dict[str, Any]) -> list[int]:
    ids = [facts["tokenizer.ggml.eos_token_id"], facts.get("tokenizer.ggml.eot_token_id")]
    return list(dict.fromkeys(i for i in ids if i is not None))


def _gpt2() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _smollm() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


def _llama3() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


PRE_TOKENIZERS = {"gpt-2": _gpt2, "default": _gpt2, "smollm": _smollm, "llama-bpe": _llama3}
"""How text is cut before merging, by GGUF's name. Source: llama.cpp, src/llama-vocab.cpp."""


def _tokenizer(facts: dict[str, Any]) -> Tokenizer:
    tokens, kinds = facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ", 1)) for merge in facts["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, ignore_merges=facts.get("tokenizer.ggml.pre") == "llama-bpe")
    )
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[facts.get("tokenizer.ggml.pre", "gpt-2")]()
    tokenizer.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, kinds, strict=True):
        if kind == TokenType.CONTROL:
            tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == TokenType.USER_DEFINED:
            tokenizer.add_tokens([AddedToken(token, normalized=False)])
    return tokenizer
