"""Read a Llama-family model from a Hugging Face folder: config.json, *.safetensors, tokenizer.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from serve_apps.engines.llama_weights import LlamaModel, RotaryScaling, Tensor
from serve_apps.errors import UnsupportedOption, WeightsError

DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}


def read_hugging_face(folder: Path) -> LlamaModel:
    """Open a folder; tensors are read when they are asked for.

    Raises:
        WeightsError: a file is missing or truncated.
        UnsupportedOption: another family, or quantised weights.
    """
    config = _json(folder / "config.json")
    _check_supported(config)
    tokenizer_config = _json(folder / "tokenizer_config.json")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    n_heads = config["num_attention_heads"]
    tokens = _tokens(tokenizer, config["vocab_size"])
    ends = _ends(folder, config)
    return LlamaModel(
        n_layers=config["num_hidden_layers"],
        n_heads=n_heads,
        n_heads_kv=config.get("num_key_value_heads") or n_heads,
        head_size=config.get("head_dim") or config["hidden_size"] // n_heads,
        rotary_base=_rotary(config).get("rope_theta") or config.get("rope_theta", 10_000.0),
        rotary_scaling=_rotary_scaling(config),
        norm_epsilon=config["rms_norm_eps"],
        context_tokens=config["max_position_embeddings"],
        tensor=_Tensors(folder, tied=config.get("tie_word_embeddings", False)),
        tokens=tokens,
        tokenizer=tokenizer,
        chat_template=_template(folder, tokenizer_config),
        bos=tokens[config.get("bos_token_id") or 0],
        unknown=tokens[0],
        ends=ends,
        facts={"title": folder.name},
    )


class _Tensors:
    """Weights of all safetensors files of a folder by name.

    Read by hand, because numpy has no bfloat16 and safetensors' numpy reader refuses it.

    Source: https://huggingface.co/docs/safetensors, section Format.
    """

    def __init__(self, folder: Path, *, tied: bool) -> None:
        self._tied = tied
        self._found: dict[str, tuple[Path, int, dict[str, Any]]] = {}
        for file in sorted(folder.glob("*.safetensors")):
            start, header = _header(file)
            self._found |= {name: (file, start, entry) for name, entry in header.items()}

    def __call__(self, name: str) -> Tensor | None:
        if f"{name}.weight" not in self._found or (name == "lm_head" and self._tied):
            return None
        file, start, entry = self._found[f"{name}.weight"]
        if entry["dtype"] not in DTYPES:
            raise UnsupportedOption(f"{name} is stored as {entry['dtype']}.", "Use unquantised weights.")
        begin, end = entry["data_offsets"]
        with file.open("rb") as stream:
            stream.seek(start + begin)
            data = stream.read(end - begin)
        if len(data) != end - begin:
            raise WeightsError(f"{file.name} ends in the middle of {name}.", "Get the file again.")
        return _float32(np.frombuffer(data, DTYPES[entry["dtype"]])).reshape(entry["shape"])


def _header(file: Path) -> tuple[int, dict[str, Any]]:
    """Where a safetensors file's data begins, and what it holds."""
    with file.open("rb") as stream:
        n_bytes = int.from_bytes(stream.read(8), "little")
        text = stream.read(min(n_bytes, file.stat().st_size))
    try:
        header: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise WeightsError(
            f"{file.name} is not a readable safetensors file.", "Get the file again."
        ) from error
    return 8 + n_bytes, header


def _float32(values: Tensor) -> Tensor:
    """Any stored type as float32; 16-bit integers are bfloat16, the upper half of a float32."""
    if values.dtype == DTYPES["BF16"]:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}.", "Get the model again.") from error
    return found


def _check_supported(config: dict[str, Any]) -> None:
    instead = "Use the vllm engine for this model."
    if config.get("model_type") != "llama":
        raise UnsupportedOption(
            f"The ctranslate2 engine reads Llama-family models, not {config.get('model_type')!r}.", instead
        )
    if config.get("quantization_config") or config.get("attention_bias") or config.get("mlp_bias"):
        raise UnsupportedOption("This model has quantised weights or biases.", instead)


def _tokens(tokenizer: Tokenizer, n_tokens: int) -> list[str]:
    """The vocabulary by id, with names for rows of the embedding that no token uses."""
    by_id = {index: token for token, index in tokenizer.get_vocab(with_added_tokens=True).items()}
    return [by_id.get(index, f"<unused_{index}>") for index in range(n_tokens)]


def _ends(folder: Path, config: dict[str, Any]) -> list[int]:
    generation = folder / "generation_config.json"
    chosen = _json(generation) if generation.is_file() else {}
    found = chosen.get("eos_token_id", config.get("eos_token_id"))
    if found is None:
        raise WeightsError("config.json does not say which token ends an answer.", "Set eos_token_id there.")
    return [found] if isinstance(found, int) else list(found)


def _rotary(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings, under the name of Transformers 5 or of the versions before."""
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _rotary_scaling(config: dict[str, Any]) -> RotaryScaling | None:
    rotary = _rotary(config)
    kind = rotary.get("rope_type") or rotary.get("type") or "default"
    if kind == "default":
        return None
    return RotaryScaling(
        kind=kind,
        factor=rotary.get("factor", 1.0),
        low_freq_factor=rotary.get("low_freq_factor", 1.0),
        high_freq_factor=rotary.get("high_freq_factor", 4.0),
    )


def _template(folder: Path, tokenizer_config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    return file.read_text("utf-8") if file.is_file() else tokenizer_config.get("chat_template") or ""
