"""Two recordings of people reading, from Moonshine's wheel: in the cache, never in the repository."""

from __future__ import annotations

from pathlib import Path

from serve_apps import weights
from serve_apps.settings import settings

TEXTS = {
    "beckett": "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
    "two_cities": (
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age "
        "of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season "
        "of light, it was the season of darkness, it was the spring of hope, it was the winter of "
        "despair, we had everything before us, we had nothing before us, we were all going direct to "
        "heaven, we were all going direct the other way. In short, the period was so far like the "
        "present period that some of its noisiest authorities insisted on its being received, for good "
        "or for evil, in the superlative degree of comparison only."
    ),
}
"""What is said in each: Samuel Beckett's sentences (10 s), the opening of Dickens's novel (44 s)."""

_SHA256 = {
    "beckett": "e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
    "two_cities": "f3348494d77cb74a02862f5e685ed09faf3e75832c5cc5c80703282c2cd8b52e",
}


def recording(name: str) -> Path:
    """The WAV file (mono, one person) of one of `TEXTS`."""
    files = {f"moonshine_voice/assets/{n}.wav": sha256 for n, sha256 in _SHA256.items()}
    wheel = weights.catalogue()["moonshine-tiny-en"].model_copy(update={"files": files})
    folder = settings().cache_dir / "weights" / f"moonshine-recordings-{wheel.version}"
    return weights.fetch(wheel, folder) / f"{name}.wav"
