"""A language model of the Llama family, read from any format, written as a CTranslate2 model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ctranslate2.specs import attention_spec, common_spec, transformer_spec
from numpy.typing import NDArray
from tokenizers import Tokenizer

from serve_apps.errors import UnsupportedOption, WeightsError

Tensor = NDArray[np.generic]

SCALINGS = {
    "linear": attention_spec.RotaryScalingType.Linear,
    "llama3": attention_spec.RotaryScalingType.Llama3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryScaling:
    """How the rotary embedding is stretched beyond the context it was trained with."""

    kind: str
    """A key of `SCALINGS`."""
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaModel:
    """Hyperparameters, vocabulary and weights, independent of the file they came from."""

    n_layers: int
    n_heads: int
    n_heads_kv: int
    head_size: int
    rotary_base: float
    rotary_scaling: RotaryScaling | None = None
    norm_epsilon: float
    context_tokens: int
    tensor: Callable[[str], Tensor | None]
    """A weight by its Hugging Face name without `.weight`, shape (out, in); None if there is none.

    Rotary pairs are half a head apart (the Hugging Face order).
    """
    tokens: list[str]
    """The vocabulary by id, as many as rows of the embedding."""
    tokenizer: Tokenizer
    chat_template: str
    """Jinja source; empty if the model has none."""
    bos: str
    unknown: str
    ends: list[int]
    """Tokens that end an answer, the model's main one first."""
    facts: dict[str, str] = field(default_factory=dict)
    """What the file says about itself: title, licence."""


def convert(model: LlamaModel, into: Path, precision: str) -> None:
    """Write `model` as a CTranslate2 folder with its tokenizer and chat template beside it.

    Args:
        model: what to convert.
        into: an existing folder.
        precision: CTranslate2's name of the stored type: int8, float16, float32, …

    Raises:
        WeightsError: a weight is missing or has the wrong shape.

    Source: the Llama layout of ctranslate2.specs.TransformerDecoderModelSpec, 4.8.
    """
    spec = _empty_spec(model)
    _fill(spec, model)
    spec.register_vocabulary(model.tokens)
    spec.config.bos_token = model.bos
    spec.config.eos_token = model.tokens[model.ends[0]]
    spec.config.unk_token = model.unknown
    spec.config.layer_norm_epsilon = model.norm_epsilon
    try:
        spec.validate()
    except ValueError as error:
        raise WeightsError(
            f"The model's weights are incomplete: {error}.", "Use a Llama-family model, or another engine."
        ) from error
    spec.optimize(quantization=precision)
    spec.save(str(into))
    _save_companions(model, into)


def _empty_spec(model: LlamaModel) -> transformer_spec.TransformerDecoderModelSpec:
    scaling = model.rotary_scaling
    if scaling and scaling.kind not in SCALINGS:
        raise UnsupportedOption(
            f"The ctranslate2 engine cannot stretch rotary embeddings by {scaling.kind!r}.",
            "Use the llama_cpp or the vllm engine for this model.",
        )
    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        model.n_layers,
        model.n_heads,
        activation=common_spec.Activation.SWISH,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=False,
        rotary_base=model.rotary_base,
        rotary_scaling_type=SCALINGS[scaling.kind] if scaling else None,
        rotary_scaling_factor=scaling.factor if scaling else 1,
        num_heads_kv=model.n_heads_kv if model.n_heads_kv != model.n_heads else None,
        head_dim=model.head_size,
    )
    spec.decoder.scale_embeddings = False
    if scaling and scaling.kind == "llama3":
        for layer in spec.decoder.layer:
            layer.self_attention.rotary_low_freq_factor = np.float32(scaling.low_freq_factor)
            layer.self_attention.rotary_high_freq_factor = np.float32(scaling.high_freq_factor)
    return spec


def _fill(spec: transformer_spec.TransformerDecoderModelSpec, model: LlamaModel) -> None:
    decoder = spec.decoder
    decoder.embeddings.weight = model.tensor("model.embed_tokens")
    decoder.layer_norm.gamma = model.tensor("model.norm")
    head = model.tensor("lm_head")
    decoder.projection.weight = decoder.embeddings.weight if head is None else head
    for index, layer in enumerate(decoder.layer):
        name = f"model.layers.{index}"
        attention, network = layer.self_attention, layer.ffn
        projections = [_required(model, f"{name}.self_attn.{part}_proj") for part in "qkv"]
        attention.linear[0].weight = np.concatenate(projections)
        attention.linear[1].weight = model.tensor(f"{name}.self_attn.o_proj")
        attention.layer_norm.gamma = model.tensor(f"{name}.input_layernorm")
        network.layer_norm.gamma = model.tensor(f"{name}.post_attention_layernorm")
        network.linear_0.weight = model.tensor(f"{name}.mlp.gate_proj")
        network.linear_0_noact.weight = model.tensor(f"{name}.mlp.up_proj")
        network.linear_1.weight = model.tensor(f"{name}.mlp.down_proj")


def _required(model: LlamaModel, name: str) -> Tensor:
    found = model.tensor(name)
    if found is None:
        raise WeightsError(f"The model has no {name}.", "Get the file again, or use another engine.")
    return found


def _save_companions(model: LlamaModel, into: Path) -> None:
    """The same three files that Hugging Face models carry, so that every converted folder reads alike."""
    model.tokenizer.save(str(into / "tokenizer.json"))
    tokenizer_config = {
        "chat_template": model.chat_template,
        "bos_token": model.bos,
        "eos_token": model.tokens[model.ends[0]],
        "model_max_length": model.context_tokens,
        **model.facts,
    }
    (into / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=1, ensure_ascii=False))
    (into / "generation_config.json").write_text(json.dumps({"eos_token_id": model.ends}))
