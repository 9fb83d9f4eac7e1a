"""Speech to text with any Whisper model in CTranslate2's format, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

from faster_whisper import WhisperModel

from serve_apps import weights
from serve_apps.args import SttArgs
from serve_apps.errors import ConfigError, StageFailed
from serve_apps.wire import ModelCard, Samples, Segment, SttOptions, Word

_FOR_LOADING = frozenset(signature(WhisperModel.__init__).parameters)
_FOR_LISTENING = frozenset(signature(WhisperModel.transcribe).parameters)


class FasterWhisperStt:
    """A CTranslate2 Whisper folder, or a name on the Hugging Face hub.

    `engine_options` are split by name between `WhisperModel` (device, download_root, …) and its
    `transcribe` (beam_size, temperature, …).

    Source: faster_whisper.WhisperModel, 1.2.1.
    """

    max_window_s = 30.0
    """What Whisper hears at once; the stage cuts at pauses, which is better than Whisper's own grid."""

    def __init__(self, args: SttArgs) -> None:
        _check_names(args.engine_options)
        loading = {k: v for k, v in args.engine_options.items() if k in _FOR_LOADING}
        self._listening = {k: v for k, v in args.engine_options.items() if k in _FOR_LISTENING}
        found = weights.locate(args.model)
        try:
            self._model = WhisperModel(
                str(found or args.model), compute_type=args.precision, cpu_threads=args.n_threads, **loading
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ConfigError(
                f"faster-whisper cannot load {args.model!r}: {error}",
                "Name a CTranslate2 Whisper folder, a size such as small, or a hub id within reach.",
            ) from error
        self.languages: tuple[str, ...] = tuple(self._model.supported_languages)
        self.card = _card(args, found, self.languages)

    def transcribe(self, samples: Samples, options: SttOptions) -> list[Segment]:
        """Recognise one stretch of speech: float32, shape (n_samples,), 16_000 Hz.

        Raises:
            StageFailed: the library failed.
        """
        settings = {
            "language": options.language,
            "initial_prompt": options.prompt or None,
            "word_timestamps": options.words,
            # The stretches are cut at pauses: what was said before belongs to another sentence.
            "condition_on_previous_text": False,
            **self._listening,
        }
        try:
            heard, facts = self._model.transcribe(samples, **settings)
            return [_segment(found, facts.language) for found in heard if found.text.strip()]
        except (RuntimeError, ValueError) as error:
            raise StageFailed("stt", f"faster-whisper failed: {error}.") from error

    def close(self) -> None:
        """Free the model."""
        self._model.model.unload_model()


def _segment(found: Any, language: str) -> Segment:
    words = tuple(Word(text=w.word.strip(), start_s=w.start, end_s=w.end) for w in found.words or ())
    return Segment(
        text=found.text.strip(), start_s=found.start, end_s=found.end, words=words, language=language
    )


def _check_names(options: Mapping[str, Any]) -> None:
    unknown = options.keys() - _FOR_LOADING - _FOR_LISTENING
    if unknown:
        raise ConfigError(
            f"faster-whisper has no option {', '.join(sorted(unknown))}.",
            "See WhisperModel and WhisperModel.transcribe for what engine_options may hold.",
        )


def _card(args: SttArgs, folder: Path | None, languages: tuple[str, ...]) -> ModelCard:
    files = [f for f in folder.iterdir() if f.is_file()] if folder and folder.is_dir() else []
    return ModelCard(
        stage="stt",
        engine="faster_whisper",
        model=folder.name if folder else args.model,
        size_bytes=sum(f.stat().st_size for f in files),
        licence="",
        source=str(folder) if folder else f"Hugging Face hub: {args.model}",
        details={
            "languages": ", ".join(languages),
            "precision": args.precision,
            "threads": str(args.n_threads),
            "word times": "from the model's attention",
        },
    )
