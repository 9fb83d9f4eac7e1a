"""From a model's name to a folder that CTranslate2 loads, converting once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from serve_apps import weights
from serve_apps.engines.llama_gguf import read_gguf
from serve_apps.engines.llama_hf import read_hugging_face
from serve_apps.engines.llama_weights import convert
from serve_apps.errors import ConfigError, WeightsError

HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "model.bin"]
RECIPE = "v1"
"""Part of the cached folder's name: change it when the conversion changes."""


def ctranslate2_folder(model: str, precision: str) -> Path:
    """The converted model's folder.

    Args:
        model: a name from assets/models.toml; a GGUF file or a Hugging Face folder of the Llama
            family; a folder converted before (with tokenizer.json and tokenizer_config.json); or a hub id.
        precision: CTranslate2's name of the stored type.

    Raises:
        WeightsError, ConfigError, UnsupportedOption.
    """
    path = weights.locate(model) or _from_hub(model)
    if (path / "model.bin").is_file():
        return path
    source = _weights_in(path)
    name = model if model in weights.catalogue() else f"{path.stem}-{_fingerprint(source)}"
    read = read_gguf if source.suffix == ".gguf" else read_hugging_face
    recipe = f"ct2-{precision}-{RECIPE}"
    return weights.derive(name, recipe, lambda into: convert(read(source), into, precision))


def _weights_in(path: Path) -> Path:
    """The GGUF file, or the Hugging Face folder."""
    if path.suffix == ".gguf":
        return path
    ggufs = sorted(path.glob("*.gguf"))
    if len(ggufs) == 1:
        return ggufs[0]
    if (path / "config.json").is_file() and any(path.glob("*.safetensors")):
        return path
    raise ConfigError(
        f"{path} holds no model that the ctranslate2 engine can read.",
        "Give a GGUF file, a Hugging Face folder with safetensors, or a CTranslate2 folder.",
    )


def _fingerprint(source: Path) -> str:
    """Changes when the file does: weights of several GB are not read for a name."""
    files = sorted(source.glob("*.safetensors")) if source.is_dir() else [source]
    facts = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def _from_hub(model: str) -> Path:
    try:
        return Path(snapshot_download(model, allow_patterns=HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(
            f"There is no model {model!r} on this machine, and the model hub does not give it: {error}.",
            f"Use a path, or one of {', '.join(weights.catalogue())}.",
        ) from error
