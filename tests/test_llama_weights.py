"""Conversion to CTranslate2: the same weights from any file make the same model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
from numpy.typing import NDArray

from serve_apps.engines.llama_gguf import read_gguf
from serve_apps.engines.llama_hf import read_hugging_face
from serve_apps.engines.llama_weights import RotaryScaling, convert
from serve_apps.errors import RaydioError, UnsupportedOption, WeightsError
from tests.tiny_llama import (
    CONTEXT,
    HEAD_SIZE,
    N_HEADS,
    N_HEADS_KV,
    N_LAYERS,
    tensors,
    tokenizer,
    write_gguf,
    write_hugging_face,
)

TEXT = "Rotary positions matter: ab c a b ab."


def reference_logits(text: str) -> NDArray[np.float32]:
    """The model written out in numpy, shape (n_tokens, n_vocabulary)."""
    weights = tensors()
    hidden = weights["model.embed_tokens"][tokenizer().encode(text).ids]
    n = len(hidden)
    mask = np.triu(np.full((n, n), -np.inf), 1)
    for index in range(N_LAYERS):
        layer = {
            name.split(".", 3)[3]: w
            for name, w in weights.items()
            if name.startswith(f"model.layers.{index}.")
        }
        x = _norm(hidden, layer["input_layernorm"])
        q = _rotate((x @ layer["self_attn.q_proj"].T).reshape(n, N_HEADS, HEAD_SIZE))
        k = _rotate((x @ layer["self_attn.k_proj"].T).reshape(n, N_HEADS_KV, HEAD_SIZE))
        v = (x @ layer["self_attn.v_proj"].T).reshape(n, N_HEADS_KV, HEAD_SIZE)
        k, v = (np.repeat(part, N_HEADS // N_HEADS_KV, axis=1) for part in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(HEAD_SIZE) + mask
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hqk,khd->qhd", scores / scores.sum(-1, keepdims=True), v)
        hidden = hidden + mixed.reshape(n, -1) @ layer["self_attn.o_proj"].T
        x = _norm(hidden, layer["post_attention_layernorm"])
        gate = x @ layer["mlp.gate_proj"].T
        hidden = (
            hidden + (gate / (1 + np.exp(-gate)) * (x @ layer["mlp.up_proj"].T)) @ layer["mlp.down_proj"].T
        )
    logits: NDArray[np.float32] = _norm(hidden, weights["model.norm"]) @ weights["model.embed_tokens"].T
    return logits


def _norm(x: NDArray[Any], scale: NDArray[Any]) -> NDArray[Any]:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale  # type: ignore[no-any-return]


def _rotate(x: NDArray[Any]) -> NDArray[Any]:
    angles = np.arange(len(x))[:, None] * 10_000.0 ** (-np.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    first, second = x[..., : HEAD_SIZE // 2], x[..., HEAD_SIZE // 2 :]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def logits(folder: Path, text: str = TEXT) -> NDArray[np.float32]:
    generator = ctranslate2.Generator(str(folder), compute_type="float32", intra_threads=1)
    found: NDArray[np.float32] = np.array(generator.forward_batch([tokenizer().encode(text).tokens]))[0]
    return found


def converted(source: Path, into: Path, precision: str = "float32") -> Path:
    into.mkdir()
    convert((read_gguf if source.suffix == ".gguf" else read_hugging_face)(source), into, precision)
    return into


@pytest.mark.parametrize("form", ["hugging face", "gguf"])
def test_the_converted_model_computes_what_a_llama_does(tmp_path: Path, form: str) -> None:
    source = {
        "hugging face": lambda: write_hugging_face(tmp_path / "tiny"),
        "gguf": lambda: write_gguf(tmp_path / "tiny.gguf"),
    }[form]()
    np.testing.assert_allclose(logits(converted(source, tmp_path / "out")), reference_logits(TEXT), atol=2e-3)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 0.05), ("bfloat16", 0.6)])
def test_sixteen_bit_weights_are_read(tmp_path: Path, dtype: str, tolerance: float) -> None:
    folder = converted(write_hugging_face(tmp_path / "tiny", dtype), tmp_path / "out")
    np.testing.assert_allclose(logits(folder), reference_logits(TEXT), atol=tolerance)


def test_what_the_folder_says_about_the_model(tmp_path: Path) -> None:
    folder = converted(write_gguf(tmp_path / "tiny.gguf"), tmp_path / "out", "int8")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert config["model_max_length"] == CONTEXT
    assert config["eos_token"] == "<|im_end|>"
    assert "add_generation_prompt" in config["chat_template"]
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [
        tokenizer().token_to_id("<|im_end|>")
    ]


@pytest.mark.parametrize(
    ("rotary", "expected"),
    [
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}, (500.0, None)),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}},
            (10_000.0, RotaryScaling(kind="linear", factor=2.0)),
        ),
        (
            {
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                }
            },
            (10_000.0, RotaryScaling(kind="llama3", factor=8.0)),
        ),
    ],
    ids=["transformers 5", "linear", "llama 3"],
)
def test_rotary_settings_of_hugging_face(
    tmp_path: Path, rotary: dict[str, Any], expected: tuple[float, RotaryScaling | None]
) -> None:
    model = read_hugging_face(write_hugging_face(tmp_path / "tiny", **rotary))
    assert (model.rotary_base, model.rotary_scaling) == expected
    (tmp_path / "out").mkdir()
    convert(model, tmp_path / "out", "float32")
    assert np.isfinite(logits(tmp_path / "out")).all()


@pytest.mark.parametrize(
    "changes",
    [{"model_type": "gpt2"}, {"attention_bias": True}, {"quantization_config": {"quant_method": "awq"}}],
    ids=["family", "biases", "quantised"],
)
def test_other_hugging_face_models_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOption) as refused:
        read_hugging_face(write_hugging_face(tmp_path / "tiny", **changes))
    assert "vllm" in refused.value.hint


@pytest.mark.parametrize(
    "changes",
    [{"architecture": "gpt2"}, {"pre": "martian"}, {"model": "llama"}],
    ids=["family", "pre-tokenizer", "sentencepiece"],
)
def test_other_gguf_models_are_refused(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(UnsupportedOption) as refused:
        read_gguf(write_gguf(tmp_path / "tiny.gguf", **changes))
    assert "llama_cpp" in refused.value.hint


def test_stretchings_that_ctranslate2_cannot_do_are_refused(tmp_path: Path) -> None:
    source = write_hugging_face(tmp_path / "tiny", rope_scaling={"rope_type": "dynamic", "factor": 2.0})
    with pytest.raises(UnsupportedOption, match="dynamic"):
        converted(source, tmp_path / "out")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    folder = write_hugging_face(tmp_path / "tiny")
    (folder / file).unlink()
    with pytest.raises(WeightsError, match=file):
        read_hugging_face(folder)


@pytest.mark.parametrize("n_bytes", [0, 7, 100, -1000])
def test_truncated_weights_are_an_error(tmp_path: Path, n_bytes: int) -> None:
    folder = write_hugging_face(tmp_path / "tiny")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:n_bytes])
    with pytest.raises(RaydioError):
        converted(folder, tmp_path / "out")
