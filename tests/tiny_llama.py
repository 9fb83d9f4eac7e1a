"""A random Llama of a few thousand weights, written as a Hugging Face folder or as a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

N_LAYERS, N_HEADS, N_HEADS_KV, HEAD_SIZE, N_HIDDEN, CONTEXT = 2, 4, 2, 32, 192, 256
N_WIDTH = N_HEADS * HEAD_SIZE
END, START = "<|im_end|>", "<|im_start|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
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
Tensors = dict[str, NDArray[np.float32]]


def tokenizer() -> Tokenizer:
    """One token a byte, one merge, and the two ends of a message."""
    symbols = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]
    found = Tokenizer(models.BPE({symbol: index for index, symbol in enumerate(symbols)}, [("a", "b")]))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    found.add_special_tokens([AddedToken(END, special=True), AddedToken(START, special=True)])
    return found


def tensors(seed: int = 0) -> Tensors:
    """Weights by their Hugging Face names, float32, shape (out, in)."""
    random = np.random.default_rng(seed)

    def matrix(n_out: int, n_in: int) -> NDArray[np.float32]:
        values: NDArray[np.float32] = random.normal(0, n_in**-0.5, (n_out, n_in)).astype(np.float32)
        return values

    def scale() -> NDArray[np.float32]:
        return random.uniform(0.5, 1.5, N_WIDTH).astype(np.float32)

    found = {"model.embed_tokens": 8 * matrix(tokenizer().get_vocab_size(), N_WIDTH), "model.norm": scale()}
    for index in range(N_LAYERS):
        layer = f"model.layers.{index}"
        found |= {
            f"{layer}.input_layernorm": scale(),
            f"{layer}.self_attn.q_proj": matrix(N_WIDTH, N_WIDTH),
            f"{layer}.self_attn.k_proj": matrix(N_HEADS_KV * HEAD_SIZE, N_WIDTH),
            f"{layer}.self_attn.v_proj": matrix(N_HEADS_KV * HEAD_SIZE, N_WIDTH),
            f"{layer}.self_attn.o_proj": matrix(N_WIDTH, N_WIDTH),
            f"{layer}.post_attention_layernorm": scale(),
            f"{layer}.mlp.gate_proj": matrix(N_HIDDEN, N_WIDTH),
            f"{layer}.mlp.up_proj": matrix(N_HIDDEN, N_WIDTH),
            f"{layer}.mlp.down_proj": matrix(N_WIDTH, N_HIDDEN),
        }
    return found


def write_hugging_face(folder: Path, dtype: str = "float32", **changes: object) -> Path:
    """Write the model as Transformers would; `bfloat16` drops the lower half of every float."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = tokenizer().get_vocab()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": N_WIDTH,
        "intermediate_size": N_HIDDEN,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": N_HEADS,
        "num_key_value_heads": N_HEADS_KV,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "vocab_size": len(ids),
        "tie_word_embeddings": True,
        "eos_token_id": ids[END],
        "bos_token_id": ids[START],
        "torch_dtype": dtype,
    }
    (folder / "config.json").write_text(json.dumps(config | changes))
    names = {"chat_template": TEMPLATE, "eos_token": END, "bos_token": START, "model_max_length": CONTEXT}
    names["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    tokenizer().save(str(folder / "tokenizer.json"))
    named = {f"{name}.weight": tensor for name, tensor in tensors().items()}
    if dtype == "bfloat16":
        _save_bfloat16(folder / "model.safetensors", named)
    else:
        save_file(
            {name: tensor.astype(dtype) for name, tensor in named.items()}, folder / "model.safetensors"
        )
    return folder


def _save_bfloat16(path: Path, named: Tensors) -> None:
    """By hand, because numpy has no bfloat16."""
    header, data = {}, b""
    for name, tensor in named.items():
        piece = (tensor.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(piece)],
        }
        data += piece
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def write_gguf(path: Path, architecture: str = "llama", pre: str = "gpt-2", model: str = "gpt2") -> Path:
    """Write the same model as llama.cpp's converter would: rotary pairs as neighbours."""
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(N_LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(N_WIDTH)
    writer.add_feed_forward_length(N_HIDDEN)
    writer.add_head_count(N_HEADS)
    writer.add_head_count_kv(N_HEADS_KV)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    ids = tokenizer().get_vocab()
    by_id = sorted(ids, key=ids.__getitem__)
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(by_id)
    writer.add_token_types([TokenType.CONTROL if t in {END, START} else TokenType.NORMAL for t in by_id])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(ids[END])
    writer.add_bos_token_id(ids[START])
    writer.add_chat_template(TEMPLATE)
    for name, tensor in tensors().items():
        writer.add_tensor(*_as_gguf(name, tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _as_gguf(name: str, tensor: NDArray[np.float32]) -> tuple[str, NDArray[np.float32]]:
    if name in GGUF_NAMES:
        return f"{GGUF_NAMES[name]}.weight", tensor
    index, part = name.removeprefix("model.layers.").split(".", 1)
    if part in {"self_attn.q_proj", "self_attn.k_proj"}:
        halves = tensor.reshape(-1, 2, HEAD_SIZE // 2, N_WIDTH)
        tensor = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(tensor.shape)
    return f"blk.{index}.{GGUF_NAMES[part]}.weight", tensor
