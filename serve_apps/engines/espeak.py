"""espeak-ng, in process through ctypes: 140 languages, first sound in under a millisecond, no model.

The library keeps one global state, so it lives on one thread of its own. Text goes to it clause by
clause, first come first served: several speakers take turns, and none waits for another's whole text.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal
from unicodedata import category

import espeakng_loader
import numpy as np

from serve_apps.args import TtsArgs
from serve_apps.engines.own_thread import Emit, OwnThread
from serve_apps.errors import ConfigError, StageFailed, UnknownName
from serve_apps.speech_text import clauses
from serve_apps.wire import Audio, ModelCard, Samples, SpeakRequest, Voice, Word

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

_MUTE = frozenset({"fo", "kaa", "xex"})
"""Voice files whose dictionaries espeakng-loader 0.2.4 leaves out: they say nothing."""

# Names and numbers from espeak-ng 1.52's speak_lib.h.
_AUDIO_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARS_UTF8, _END_PAUSE = 1, 0x1000
_RATE, _PITCH = 1, 3
_OPTIONS = {"volume": 2, "pitch_range": 4, "word_gap": 7}
_CHUNK_MS = 60
_EVENTS_END, _EVENT_WORD = 0, 1
_NOTHING = np.zeros(0, np.int16)
_SECONDS_A_LETTER = 0.07
"""At normal speed: the guess of a word's end, which espeak-ng does not tell."""
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _VoiceRecord(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("message", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, the first is 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # in milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


@dataclass(frozen=True, slots=True)
class _Language:
    """One voice file of espeak-ng."""

    id: str
    name: str
    path: str
    also: dict[str, int]
    """Languages it can stand in for, with their priority; lower is better."""


@dataclass(frozen=True, slots=True)
class _Manner:
    """Everything the library must be told before it speaks."""

    voice: str
    parameters: tuple[tuple[int, int], ...]
    seconds_a_letter: float


@dataclass(slots=True)
class _Progress:
    """How far the text that is being spoken has got."""

    text: str
    seconds_a_letter: float
    emit: Emit
    n_samples: int = 0
    n_characters: int = 0

    def said(self, samples: Samples, events: list[_Event], rate_hz: int) -> bool:
        """Hand over a piece with the words that begin in it; false to stop."""
        from_s = self.n_samples / rate_hz
        words = [self._word(event, from_s) for event in events if self._is_new(event)]
        self.n_samples += len(samples)
        return self.emit(Audio(samples=samples, rate_hz=rate_hz, words=tuple(words)))

    def _is_new(self, event: _Event) -> bool:
        """A number or a sign that is said as several words counts once, as it is written."""
        start = event.text_position - 1
        is_new = start >= self.n_characters and bool(self.text[start : start + event.length].strip())
        self.n_characters = max(self.n_characters, start + event.length)
        return is_new

    def _word(self, event: _Event, from_s: float) -> Word:
        start = event.text_position - 1
        text = self.text[start : start + event.length]
        start_s = max(0.0, event.audio_position / 1000 - from_s)
        return Word(text=text, start_s=start_s, end_s=start_s + len(text) * self.seconds_a_letter)


class _Library:
    """The loaded library. Every call into it happens on its one thread."""

    def __init__(self) -> None:
        self._thread = OwnThread("espeak")
        self.rate_hz, self.version, self.languages = self._thread.call(self._load)
        variants = Path(espeakng_loader.get_data_path(), "voices", "!v")
        self.variants = {path.name.lower(): path.name for path in variants.iterdir()}

    def _load(self) -> tuple[int, str, dict[str, _Language]]:
        self._c = ctypes.CDLL(espeakng_loader.get_library_path())
        self._c.espeak_Info.restype = ctypes.c_char_p
        self._c.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
        numbers, pointers = [ctypes.c_uint] * 4, [ctypes.c_void_p] * 2
        self._c.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, *numbers, *pointers]
        data = Path(espeakng_loader.get_data_path())
        rate_hz = self._c.espeak_Initialize(_AUDIO_SYNCHRONOUS, _CHUNK_MS, bytes(data), _DONT_EXIT)
        if rate_hz <= 0:
            raise ConfigError("espeak-ng could not read its data.", "Reinstall the package espeakng-loader.")
        self._callback = _CALLBACK(self._on_samples)  # kept: the library holds only its address
        self._c.espeak_SetSynthCallback(self._callback)
        self._manner: _Manner | None = None
        return rate_hz, self._c.espeak_Info(None).decode(), _languages(self._c.espeak_ListVoices(None))

    def speak(self, text: str, manner: _Manner) -> Iterator[Audio]:
        """Yield sound while the library makes them; closing the iterator stops it."""
        return self._thread.stream(lambda emit: self._synthesise(text, manner, emit))

    def _synthesise(self, text: str, manner: _Manner, emit: Emit) -> None:
        self._set(manner)
        self._progress = _Progress(text, manner.seconds_a_letter, emit)
        encoded = text.encode()
        flags = _CHARS_UTF8 | _END_PAUSE
        status = self._c.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, flags, None, None)
        if status != 0:
            raise StageFailed("tts", f"espeak-ng failed with status {status}.")

    def _on_samples(self, samples: Any, n_samples: int, events: int | None) -> int:
        """Called by the library; 1 stops it."""
        heard = np.ctypeslib.as_array(samples, (n_samples,)) if n_samples > 0 else _NOTHING
        said = heard.astype(np.float32) / np.float32(32768)
        return 0 if self._progress.said(said, _words_of(events), self.rate_hz) else 1

    def _set(self, manner: _Manner) -> None:
        if manner == self._manner:
            return
        self._manner = None
        if self._c.espeak_SetVoiceByName(manner.voice.encode()) != 0:
            raise StageFailed("tts", f"espeak-ng cannot load its voice {manner.voice!r}.")
        for parameter, value in manner.parameters:
            self._c.espeak_SetParameter(parameter, value, 0)
        self._manner = manner


_library = cache(_Library)


class EspeakTts:
    """The embedded default voice: robotic, instant, in 140 languages.

    Source: espeak-ng 1.52, speak_lib.h.
    """

    can_clone = False

    def __init__(self, args: TtsArgs) -> None:
        self._library = _library()
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
        manner = _Manner(path, parameters, _SECONDS_A_LETTER / request.speed)
        return self._stream(request.text, manner)

    def close(self) -> None:
        """Nothing to free: the library belongs to the process and holds no model."""

    def _stream(self, text: str, manner: _Manner) -> Iterator[Audio]:
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


def _unknown(kind: str, name: str, languages: dict[str, _Language]) -> UnknownName:
    labels = {label: known.id for known in languages.values() for label in (known.id, known.name.lower())}
    wanted = name.lower()[:80]
    close = [label for label in labels if wanted in label] or get_close_matches(wanted, labels, cutoff=0.4)
    near = dict.fromkeys(labels[label] for label in close[:4])
    hint = f"Did you mean {', '.join(near)}?" if near else "Choose one from the list of voices."
    return UnknownName(f"espeak-ng has no {kind} {name[:80]!r}.", hint)


def _voices(language: _Language) -> Iterator[Voice]:
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


def _words_of(address: int | None) -> list[_Event]:
    """The words in a C array of events, which an event of type 0 ends."""
    words: list[_Event] = []
    while address and (event := _Event.from_address(address)).type != _EVENTS_END:
        if event.type == _EVENT_WORD:
            words.append(event)
        address += ctypes.sizeof(_Event)
    return words


def _languages(records: Any) -> dict[str, _Language]:
    found: dict[str, _Language] = {}
    for record in (pointer.contents for pointer in takewhile(bool, records)):
        path = record.identifier.decode()
        also = _priorities(record.languages)
        first = next(iter(also))
        # Two files call themselves yue: the second goes by its file's name.
        id_ = first if first not in found else Path(path).name.lower()
        if id_ not in _MUTE:
            found[id_] = _Language(id_, record.name.decode(), path, also)
    return found


def _priorities(address: int) -> dict[str, int]:
    """Read a C list of (priority byte, NUL-terminated tag), ended by a zero byte."""
    tags: dict[str, int] = {}
    while priority := ctypes.string_at(address, 1)[0]:
        tag = ctypes.string_at(address + 1)
        tags[tag.decode().lower()] = priority
        address += len(tag) + 2
    return tags
