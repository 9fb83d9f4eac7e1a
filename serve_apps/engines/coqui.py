"""coqui-tts: VITS sentence by sentence, XTTS streamed inside a sentence, cloning where the model can.

Coqui's checkpoints are pickles (`.pth`) and exist in no other form. coqui-tts 0.28 reads them with
torch's `weights_only=True`, which builds tensors and a few named classes and runs no code of the file.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import soundfile
import torch
from TTS.api import TTS
from TTS.config import load_config
from TTS.utils.synthesizer import PAD_SILENCE_SAMPLES

from serve_apps.args import TtsArgs
from serve_apps.engines.own_thread import Emit, OwnThread
from serve_apps.errors import ConfigError, InputError, NoSpeech, UnknownName, UnsupportedOption
from serve_apps.speech_text import clauses
from serve_apps.wire import Audio, ModelCard, SpeakRequest, Voice

PAUSE_S = 0.15
"""Between clauses; the model's own pauses are inside them."""
SHORTEST_REFERENCE_S = 1.0
SILENCE = 1e-3
"""A clip that never gets louder than this holds no voice."""
USUAL_LIMIT_CHARACTERS = 200
"""Longest stretch of text at once, for models that do not say; longer ones end in babble."""
Latents = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class _Manner:
    """A request in coqui's own terms."""

    speaker: str | None
    language: str | None
    speed: float
    reference: Audio | None


class CoquiTts:
    """Any model of coqui-tts: a local folder, or a name such as `tts_models/en/vctk/vits`.

    `engine_options` go to XTTS's `inference_stream` (`temperature`, `stream_chunk_size`, …).

    Source: TTS.api.TTS and TTS.tts.models.xtts.Xtts, coqui-tts 0.28.
    """

    def __init__(self, args: TtsArgs) -> None:
        torch.set_num_threads(args.n_threads)
        self._thread = OwnThread("coqui")
        self._options = args.engine_options
        self._default = args.voice
        self._tts = self._thread.call(lambda: _loaded(args.model))
        synthesizer = self._tts.synthesizer
        self._model, self._config = synthesizer.tts_model, synthesizer.tts_config
        self._is_xtts = self._config.model == "xtts"
        self._speakers: list[str] = list(dict.fromkeys(self._tts.speakers or []))
        self._languages: list[str] = list(
            self._config.languages if self._is_xtts else self._tts.languages or []
        )
        self._length_scale: float = getattr(self._model, "length_scale", 1.0)
        self._known_latents: dict[bytes, Latents] = {}
        self.rate_hz = int(synthesizer.output_sample_rate)
        self.can_clone = bool(self._config.supports_cloning)
        self.card = self._card(args.model)

    def voices(self) -> list[Voice]:
        """Every speaker in every language, the default first; their ids are `language/speaker`."""
        languages = self._languages or [self._config.get("phoneme_language") or "und"]
        names = self._speakers or [""]
        every = [
            Voice(
                id="/".join(filter(None, (language, name))), name=name or "Standard voice", language=language
            )
            for language in languages
            for name in names
        ]
        return sorted(every, key=lambda voice: voice.id != self._default)

    def speak(self, request: SpeakRequest) -> Iterator[Audio]:
        """Yield sound: XTTS's as it makes it, otherwise clause by clause. It does not know its words' times.

        Raises:
            UnknownName: no such speaker or language.
            UnsupportedOption: a pitch, or a reference for a model that cannot clone.
            InputError, NoSpeech: a reference that is too short or silent.
        """
        if request.pitch != 1:
            raise UnsupportedOption("coqui-tts cannot change the pitch.", "Leave it at 1.")
        if request.reference is not None:
            self._check_reference(request.reference)
        voice_language, speaker = self._voice(request.voice or self._default)
        if speaker is None and request.reference is None:
            if self.can_clone and not self._speakers:
                raise UnsupportedOption(
                    "This model has no voices of its own.", "Send a clip of a voice to imitate."
                )
            speaker = self._speakers[0] if self._speakers else None
        language = self._language(request.language or voice_language)
        manner = _Manner(None if request.reference else speaker, language, request.speed, request.reference)
        return self._stream(request.text, manner)

    def close(self) -> None:
        """Free the model."""
        self._tts = self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # ---- names

    def _voice(self, voice: str) -> tuple[str, str | None]:
        """Language and speaker of a voice's id; either may be missing from it."""
        language, slash, speaker = voice.partition("/")
        if slash and speaker in self._speakers:
            return language, speaker
        if voice in self._speakers:
            return "", voice
        if voice in ("", *self._languages, *(known.id for known in self.voices())):
            return voice, None
        near = get_close_matches(voice, [*self._speakers, *(known.id for known in self.voices())], cutoff=0.4)
        hint = f"Did you mean {', '.join(near)}?" if near else "Choose one from the list of voices."
        raise UnknownName(f"This model has no voice {voice[:80]!r}.", hint)

    def _language(self, language: str) -> str | None:
        if not self._languages:
            return None
        wanted = language.lower().replace("_", "-")
        if not wanted:
            return "en" if "en" in self._languages else self._languages[0]
        for known in self._languages:
            if wanted in (known, known.partition("-")[0]) or wanted.partition("-")[0] == known:
                return known
        raise UnknownName(
            f"This model does not speak {language[:80]!r}.", f"It speaks {', '.join(self._languages)}."
        )

    def _check_reference(self, clip: Audio) -> None:
        if not self.can_clone:
            raise UnsupportedOption(f"{self.card.model} cannot imitate a voice.", "Choose one of its voices.")
        if clip.duration_s < SHORTEST_REFERENCE_S:
            raise InputError(
                f"The clip of the voice is {clip.duration_s:.1f} s long.",
                "Send 3 to 30 seconds of clear speech.",
            )
        if np.abs(clip.samples).max() < SILENCE:
            raise NoSpeech("The clip of the voice is silent.", "Send 3 to 30 seconds of clear speech.")

    # ---- speech

    def _stream(self, text: str, manner: _Manner) -> Iterator[Audio]:
        say = self._say_xtts if self._is_xtts else self._say
        pause = self._audio(np.zeros(round(PAUSE_S * self.rate_hz)))
        for clause in clauses(text):
            for part in wrap(clause.spoken, self._limit_characters(manner.language)):
                yield from self._thread.stream(partial(say, part, manner))
                yield pause

    def _limit_characters(self, language: str | None) -> int:
        limits = self._model.tokenizer.char_limits if self._is_xtts else {}
        return int(limits.get((language or "").partition("-")[0], USUAL_LIMIT_CHARACTERS))

    def _say(self, text: str, manner: _Manner, emit: Emit) -> None:
        self._model.length_scale = self._length_scale / manner.speed
        with _as_file(manner.reference) as clip:
            samples = self._tts.synthesizer.tts(
                text,
                speaker_name=manner.speaker,
                language_name=manner.language,
                speaker_wav=clip,
                split_sentences=False,
            )
        emit(self._audio(samples[:-PAD_SILENCE_SAMPLES]))

    def _say_xtts(self, text: str, manner: _Manner, emit: Emit) -> None:
        gpt_latents, speaker_embedding = self._latents(manner)
        config = self._config
        settings = {
            name: config[name]
            for name in ("temperature", "length_penalty", "repetition_penalty", "top_k", "top_p")
        }
        chunks = self._model.inference_stream(
            text,
            manner.language,
            gpt_latents,
            speaker_embedding,
            speed=manner.speed,
            **settings | self._options,
        )
        for chunk in chunks:
            if not emit(self._audio(chunk.float().cpu().numpy())):
                return

    def _audio(self, samples: Any) -> Audio:
        return Audio(samples=np.asarray(samples, np.float32), rate_hz=self.rate_hz)

    def _latents(self, manner: _Manner) -> Latents:
        """What makes the voice, remembered for the clip that was used last."""
        if manner.reference is None:
            known = self._model.speaker_manager.speakers[manner.speaker]
            return known["gpt_cond_latent"], known["speaker_embedding"]
        key = manner.reference.samples.tobytes()
        if key not in self._known_latents:
            self._known_latents = {key: self._latents_of(manner.reference)}
        return self._known_latents[key]

    def _latents_of(self, clip: Audio) -> Latents:
        samples = torch.from_numpy(clip.samples.copy())[None]
        samples = samples[:, : self._config.max_ref_len * clip.rate_hz].to(self._model.device)
        latents = self._model.get_gpt_cond_latents(
            samples,
            clip.rate_hz,
            length=self._config.gpt_cond_len,
            chunk_length=self._config.gpt_cond_chunk_len,
        )
        return latents, self._model.get_speaker_embedding(samples, clip.rate_hz)

    def _card(self, model: str) -> ModelCard:
        folder = Path(self._tts.synthesizer.tts_checkpoint)
        folder = folder if folder.is_dir() else folder.parent
        return ModelCard(
            stage="tts",
            engine="coqui",
            model=Path(model).name if Path(model).exists() else model,
            size_bytes=sum(path.stat().st_size for path in folder.glob("*.pth")),
            licence="Coqui Public Model License" if self._is_xtts else "the model's own",
            source=str(folder) if Path(model).exists() else f"coqui-tts, {model}",
            details={
                "sample rate": f"{self.rate_hz} Hz",
                "speakers": str(len(self._speakers)),
                "languages": ", ".join(self._languages) or "one",
                "imitates voices": "yes" if self.can_clone else "no",
                "device": str(self._model.device),
            },
        )


@contextmanager
def _as_file(clip: Audio | None) -> Iterator[str | None]:
    """The clip as a WAV file while the block runs; coqui-tts takes only paths."""
    if clip is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="raydio-") as folder:
        path = Path(folder) / "reference.wav"
        soundfile.write(path, clip.samples, clip.rate_hz)
        yield str(path)


def _loaded(model: str) -> Any:
    folder = Path(model).expanduser()
    try:
        if not model:
            raise ConfigError(
                "The coqui engine was given no model.", "Set args.model to a folder or a model's name."
            )
        tts = _from_folder(folder) if folder.exists() else TTS(model, progress_bar=False)
    except EOFError as error:
        # coqui-tts asks on the terminal before it downloads a model with a licence of its own.
        raise ConfigError(
            f"The model {model!r} has a licence that you have to accept.",
            "Read it, then set COQUI_TOS_AGREED=1 in the environment.",
        ) from error
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"The checkpoint of {model!r} is damaged, or holds more than weights.",
            "Fetch it again from its source.",
        ) from error
    except (KeyError, ValueError, FileNotFoundError) as error:
        raise ConfigError(
            f"coqui-tts cannot load {model!r}: {error}", "Name a folder or one of its models."
        ) from error
    return tts.to("cuda" if torch.cuda.is_available() else "cpu")


def _from_folder(path: Path) -> Any:
    """A folder with config.json and one checkpoint, or the checkpoint itself."""
    folder = path if path.is_dir() else path.parent
    config = folder / "config.json"
    if not config.is_file():
        raise ConfigError(
            f"{folder} has no config.json.", "Point args.model to a folder of a coqui-tts model."
        )
    if load_config(str(config)).model == "xtts":
        return TTS(model_path=str(folder), config_path=str(config), progress_bar=False)
    checkpoints = [path] if path.is_file() else sorted(folder.glob("*.pth"))
    if len(checkpoints) != 1:
        names = ", ".join(checkpoint.name for checkpoint in checkpoints) or "none"
        raise ConfigError(f"{folder} must hold one checkpoint; it has {names}.", "Name the file itself.")
    return TTS(model_path=str(checkpoints[0]), config_path=str(config), progress_bar=False)
