"""BERT encoders from safetensors to CTranslate2, without torch or transformers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from serve_apps import weights
from serve_apps.errors import ConfigError

__all__ = ["BertConfig", "convert", "converted", "read_config"]

RECIPE = "v1"
"""Change it when `convert` writes something else: cached conversions are keyed by it."""

PRECISIONS = ("int8", "float32")
"""What CTranslate2 computes with on every processor."""

_ACTIVATIONS = {
    "gelu": common_spec.Activation.GELU,
    "gelu_new": common_spec.Activation.GELUTanh,
    "gelu_pytorch_tanh": common_spec.Activation.GELUTanh,
    "relu": common_spec.Activation.RELU,
    "silu": common_spec.Activation.SWISH,
    "swish": common_spec.Activation.SWISH,
}

Tensors = dict[str, NDArray[np.float32]]


class BertConfig(BaseModel):
    """What the conversion needs from a Hugging Face config.json."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model_type: Literal["bert"]
    position_embedding_type: Literal["absolute"] = "absolute"
    hidden_act: Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish"] = "gelu"
    hidden_size: int = Field(ge=1)
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    max_position_embeddings: int = Field(ge=1)
    vocab_size: int = Field(ge=1)
    layer_norm_eps: float = 1e-12


def converted(model: str, precision: str) -> tuple[Path, Path]:
    """A BERT model as CTranslate2 reads it, converted once and then kept in the cache.

    Args:
        model: a name from assets/models.toml, or a folder with model.safetensors, config.json and
            tokenizer.json.
        precision: one of `PRECISIONS`.

    Returns:
        The original folder (tokenizer, configuration) and the converted one.

    Raises:
        ConfigError: no such model, not a BERT encoder, or an unknown precision.
        WeightsError: fetching failed.
    """
    if precision not in PRECISIONS:
        raise ConfigError(
            f"The ctranslate2 engine has no precision {precision!r}.", f"Use one of {PRECISIONS}."
        )
    source = weights.locate(model)
    if source is None or not source.is_dir():
        raise ConfigError(
            f"There is no embeddings model {model!r} on this machine.",
            "Name an entry of assets/models.toml or a folder; hub ids need engine: sentence_transformers.",
        )
    read_config(source)
    recipe = f"ct2-{precision}-{RECIPE}"
    return source, weights.derive(
        _cache_name(model, source), recipe, lambda into: convert(source, into, precision)
    )


def read_config(folder: Path) -> BertConfig:
    """The model's hyperparameters.

    Raises:
        ConfigError: a file is missing, or the model is not a BERT encoder.
    """
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{folder} has no {name}.", "The ctranslate2 engine reads safetensors weights only."
            )
    try:
        return BertConfig.model_validate_json((folder / "config.json").read_bytes())
    except ValidationError as error:
        wrong = ", ".join(str(item["loc"][0]) if item["loc"] else item["msg"] for item in error.errors())
        raise ConfigError(
            f"{folder} does not hold a BERT encoder (config.json: {wrong}).",
            "Use engine: sentence_transformers for other architectures.",
        ) from error


def convert(source: Path, into: Path, precision: str) -> None:
    """Write the encoder of `source` into the folder `into`, in CTranslate2's format.

    Raises:
        ConfigError: the weights are damaged or incomplete.

    Source: the layer mapping of ctranslate2.converters.transformers.BertLoader, 4.8.5.
    """
    config = read_config(source)
    try:
        spec = _filled_spec(config, _tensors(source))
    except (SafetensorError, KeyError) as error:
        raise ConfigError(
            f"The weights in {source} are damaged or incomplete ({error}).", "Fetch the model again."
        ) from error
    spec.register_vocabulary(_vocabulary(source, config.vocab_size))
    spec.config.layer_norm_epsilon = config.layer_norm_eps
    spec.config.unk_token = "[UNK]"  # noqa: S105 -- a token of the vocabulary, not a secret
    spec.validate()
    spec.optimize(quantization=precision)
    spec.save(str(into))


def _cache_name(model: str, source: Path) -> str:
    if model in weights.catalogue():
        return source.name
    # A folder of the user's: its name is not enough, another may have it or its files may change.
    stat = (source / "model.safetensors").stat()
    identity = f"{source.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}"
    return f"{source.resolve().name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _tensors(source: Path) -> Tensors:
    """Float32 tensors by name, without the `bert.` that models with a head put in front."""
    tensors = load_file(source / "model.safetensors")
    return {
        name.removeprefix("bert."): tensor.astype(np.float32, copy=False) for name, tensor in tensors.items()
    }


def _vocabulary(source: Path, size: int) -> list[str]:
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokens = {index: token for token, index in tokenizer.get_vocab(with_added_tokens=True).items()}
    return [tokens.get(index, f"<extra_id_{index}>") for index in range(size)]


def _filled_spec(config: BertConfig, tensors: Tensors) -> Any:
    encoder = transformer_spec.TransformerEncoderSpec(
        config.num_hidden_layers,
        config.num_attention_heads,
        pre_norm=False,
        activation=_ACTIVATIONS[config.hidden_act],
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = tensors["embeddings.word_embeddings.weight"]
    encoder.embeddings[1].weight = tensors["embeddings.token_type_embeddings.weight"]
    encoder.position_encodings.encodings = tensors["embeddings.position_embeddings.weight"]
    _fill_norm(encoder.layernorm_embedding, tensors, "embeddings.LayerNorm")
    for index, layer in enumerate(encoder.layer):
        _fill_layer(layer, tensors, f"encoder.layer.{index}")
    return transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=False)


def _fill_layer(layer: Any, tensors: Tensors, prefix: str) -> None:
    attention = f"{prefix}.attention"
    projections = [f"{attention}.self.{name}" for name in ("query", "key", "value")]
    fused, output = layer.self_attention.linear
    fused.weight = np.concatenate([tensors[f"{name}.weight"] for name in projections])
    fused.bias = np.concatenate([tensors[f"{name}.bias"] for name in projections])
    _fill_linear(output, tensors, f"{attention}.output.dense")
    _fill_norm(layer.self_attention.layer_norm, tensors, f"{attention}.output.LayerNorm")
    _fill_linear(layer.ffn.linear_0, tensors, f"{prefix}.intermediate.dense")
    _fill_linear(layer.ffn.linear_1, tensors, f"{prefix}.output.dense")
    _fill_norm(layer.ffn.layer_norm, tensors, f"{prefix}.output.LayerNorm")


def _fill_linear(spec: Any, tensors: Tensors, name: str) -> None:
    spec.weight, spec.bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def _fill_norm(spec: Any, tensors: Tensors, name: str) -> None:
    spec.gamma, spec.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
