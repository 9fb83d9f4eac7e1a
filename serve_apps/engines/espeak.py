"""espeak-ng, in process: 140 languages, first sound in under a millisecond, no model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from unicodedata import category

import espeakng_loader

from serve_apps.args import TtsArgs
from serve_apps.engines.espeak_library import Language, Manner, library
from serve_apps.errors import ConfigError, UnknownName
from serve_apps.speech_text import clauses
from serve_apps.wire import Audio, ModelCard, SpeakRequest, Voice

DEFAULT_VOICE = "en-us"
NORMAL_WORDS_PER_MINUTE = 175
LISTED_VARIANTS = {
    **{f"f{n}": f"woman {n}" for n in range(1, 6)},
    **{f"m{n}": f"man {n}" for n in range(1, 9)},
    "whisper": "whisper",
}
"""Variants listed beside every language; the others on disk can be named too."""
GENDERS: dict[str, Literal["female", "male"]] = {"f": "female", "m": "male"}
"""By a variant's first letter."""

# From espeak-ng 1.52's speak_lib.h.
_RATE, _PITCH = 1, 3
_OPTIONS = {"volume": 2, "pitch_range": 4, "word_gap": 7}
_SECONDS_A_LETTER = 0.07
"""At normal speed: the guess of a word's end, which espeak-ng does not tell."""


class EspeakTts:
    """The embedded default voice: robotic, instant, in 140 languages.

    Source: espeak-ng 1.52, speak_lib.h.
    """

    can_clone = False

    def __init__(self, args: TtsArgs) -> None:
        self._library = library()
        self.rate_hz = self._library.rate_hz
        self._options = tuple(_option(name, value) for name, value in args.engine_options.items())
        self._default = DEFAULT_VOICE
        self._default = self._voice_id(args.voice, "") if args.voice else DEFAULT_VOICE
        data = Path(espeakng_loader.get_data_path())
        self.card = ModelCard(
            stage="tts",
            engine="espeak",
            model=f"espeak-ng {self._library.version.split()[0]}",
            size_bytes=sum(path.stat().st_size for path in data.rglob("*") if path.is_file()),
            licence="GPL-3.0-or-later, loaded at run time",
            source="https://github.com/espeak-ng/espeak-ng, from the package espeakng-loader",
            details={"sample rate": f"{self.rate_hz} Hz", "languages": str(len(self._library.languages))},
        )

    def voices(self) -> list[Voice]:
        """Each language's own voice with its variants, the default first."""
        every = [voice for language in self._library.languages.values() for voice in _voices(language)]
        if all(voice.id != self._default for voice in every):
            every.append(
                Voice(id=self._default, name=self._default, language=self._default.partition("+")[0])
            )
        return sorted(every, key=lambda voice: voice.id != self._default)

    def speak(self, request: SpeakRequest) -> Iterator[Audio]:
        """Yield sound as the library makes it, at most 60 ms each, with the words that begin there.

        Raises:
            UnknownName: no such voice, variant or language.
        """
        voice_id = self._voice_id(request.voice, request.language)
        base, _, variant = voice_id.partition("+")
        path = self._library.languages[base].path + (f"+{variant}" if variant else "")
        rate = round(NORMAL_WORDS_PER_MINUTE * request.speed)
        pitch = min(max(round(50 + 50 * math.log2(request.pitch)), 0), 100)
        parameters = ((_RATE, rate), (_PITCH, pitch), *self._options)
        manner = Manner(path, parameters, _SECONDS_A_LETTER / request.speed)
        return self._stream(request.text, manner)

    def close(self) -> None:
        """Nothing to free: the library belongs to the process and holds no model."""

    def _stream(self, text: str, manner: Manner) -> Iterator[Audio]:
        for clause in clauses(text):
            if sayable := _without_controls(clause.shown):
                yield from self._library.speak(sayable, manner)

    def _voice_id(self, voice: str, language: str) -> str:
        variants = self._library.variants
        base, plus, variant = (voice or self._default).lower().partition("+")
        known = self._speaker_of(base)
        if known is None:
            raise _unknown("voice", voice, self._library.languages)
        if plus and variant not in variants:
            near = get_close_matches(variant, variants, cutoff=0.4) or list(LISTED_VARIANTS)
            hint = f"Try {', '.join(f'{known}+{name}' for name in near)}."
            raise UnknownName(f"espeak-ng has no voice variant {variant[:80]!r}.", hint)
        base = self._language_id(language, known) if language else known
        return f"{base}+{variants[variant]}" if plus else base

    def _language_id(self, language: str, preferred: str) -> str:
        wanted = language.lower().replace("_", "-")
        for tag in (wanted, wanted.partition("-")[0]):
            if tag in (preferred, *self._library.languages[preferred].also):
                return preferred
            if known := self._speaker_of(tag):
                return known
        raise _unknown("language", language, self._library.languages)

    def _speaker_of(self, tag: str) -> str | None:
        languages = self._library.languages
        if tag in languages:
            return tag
        speakers = [known for known in languages.values() if tag in known.also]
        return min(speakers, key=lambda known: known.also[tag]).id if speakers else None


def _unknown(kind: str, name: str, languages: dict[str, Language]) -> UnknownName:
    labels = {label: known.id for known in languages.values() for label in (known.id, known.name.lower())}
    wanted = name.lower()[:80]
    close = [label for label in labels if wanted in label] or get_close_matches(wanted, labels, cutoff=0.4)
    near = dict.fromkeys(labels[label] for label in close[:4])
    hint = f"Did you mean {', '.join(near)}?" if near else "Choose one from the list of voices."
    return UnknownName(f"espeak-ng has no {kind} {name[:80]!r}.", hint)


def _voices(language: Language) -> Iterator[Voice]:
    yield Voice(id=language.id, name=language.name, language=language.id, gender="male")
    for variant, words in LISTED_VARIANTS.items():
        id_, name = f"{language.id}+{variant}", f"{language.name}, {words}"
        yield Voice(id=id_, name=name, language=language.id, gender=GENDERS.get(variant[0], "unknown"))


def _option(name: str, value: Any) -> tuple[int, int]:
    if name not in _OPTIONS or not isinstance(value, int):
        raise ConfigError(
            f"The espeak engine has no option {name!r} with the value {value!r}.",
            f"engine_options may hold whole numbers for {', '.join(_OPTIONS)}.",
        )
    return _OPTIONS[name], value


def _without_controls(text: str) -> str:
    """What espeak-ng can take: no NUL (it ends a C string), no other controls, no lone surrogates.

    Format characters stay: joiners are part of how some scripts spell.
    """
    return "".join(" " if category(character) in {"Cc", "Cs"} else character for character in text).strip()
