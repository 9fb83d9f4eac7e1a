"""Speech to text with Moonshine: small English models, fast on one CPU thread."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from moonshine_voice import ModelArch, Transcriber
from moonshine_voice.errors import MoonshineError

from serve_apps import weights
from serve_apps.args import SttArgs
from serve_apps.engines import sentences
from serve_apps.errors import ConfigError, StageFailed, UnsupportedOption
from serve_apps.wire import STT_RATE_HZ, ModelCard, Samples, Segment, SttOptions

if TYPE_CHECKING:
    from serve_apps.engines.word_alignment import WordAligner

_OPTIONS = {
    "return_audio_data": "false",
    "identify_speakers": "false",
    # Its own voice detector would cut the sound up again; whole windows are recognised better.
    "vad_threshold": "0.0",
}


class MoonshineStt:
    """A Moonshine model folder on one Transcriber.

    Source: moonshine_voice.Transcriber.transcribe_without_streaming, 0.1.5.
    """

    languages = ("en",)
    max_window_s = 30.0

    def __init__(self, args: SttArgs) -> None:
        folder = _folder(args.model)
        options = {**_OPTIONS, **args.engine_options}
        arch = ModelArch[str(options.pop("arch", "tiny")).upper()]
        try:
            self._transcriber = Transcriber(folder, arch, options=options)
        except MoonshineError as error:
            raise ConfigError(f"Moonshine cannot load {folder}: {error}.") from error
        # The library returns a pointer to one shared buffer, so that calls from two threads mix
        # their texts; reading it out is inside the lock for that reason.
        self._lock = Lock()
        self._aligner = _aligner() if args.align_words else None
        self.card = _card(args, folder, aligned=self._aligner is not None)

    def transcribe(self, samples: Samples, options: SttOptions) -> list[Segment]:
        """Recognise one stretch of speech: float32, shape (n_samples,), 16_000 Hz.

        Raises:
            UnsupportedOption: word times are asked for, and alignment is off or not installed.
            StageFailed: the library failed.
        """
        if options.words and self._aligner is None:
            raise UnsupportedOption(
                "Word times are not available here.",
                "Install pocketsphinx (Python 3.13 or older) and set align_words: true for stt.",
            )
        text = self._recognise(samples)
        words = self._aligner.align(text, samples) if options.words and self._aligner else ()
        return sentences.segments(text, samples, words)

    def close(self) -> None:
        """Free the model."""
        self._transcriber.close()

    def _recognise(self, samples: Samples) -> str:
        try:
            with self._lock:
                found = self._transcriber.transcribe_without_streaming(samples.tolist(), STT_RATE_HZ)
        except MoonshineError as error:
            raise StageFailed("stt", f"Moonshine failed: {error}.") from error
        return " ".join(line.text.strip() for line in found.lines).strip()


def _aligner() -> WordAligner | None:
    """The aligner, where PocketSphinx is: it has no wheel for Python 3.14 yet."""
    if find_spec("pocketsphinx") is None:
        return None
    aligner: WordAligner = import_module("serve_apps.engines.word_alignment").WordAligner()
    return aligner


def _folder(model: str) -> Path:
    folder = weights.locate(model)
    if folder is None:
        raise ConfigError(
            f"There is no Moonshine model {model!r} on this machine.",
            "Name one of assets/models.toml, or a folder with a Moonshine model.",
        )
    return folder


def _card(args: SttArgs, folder: Path, *, aligned: bool) -> ModelCard:
    entry = weights.catalogue().get(args.model)
    return ModelCard(
        stage="stt",
        engine="moonshine",
        model=entry.title if entry else folder.name,
        size_bytes=sum(f.stat().st_size for f in folder.iterdir() if f.is_file()),
        licence=entry.licence if entry else "",
        source=entry.source if entry else str(folder),
        details={
            "languages": ", ".join(MoonshineStt.languages),
            "word times": "forced alignment (PocketSphinx)" if aligned else "no",
        },
    )
