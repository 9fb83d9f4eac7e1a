"""espeak-ng's C library through ctypes, on a thread of its own.

The library keeps one global state, so it lives on one thread of its own. Text goes to it clause by
clause, first come first served: several speakers take turns, and none waits for another's whole text.

Source: espeak-ng 1.52, speak_lib.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np

from serve_apps.engines.own_thread import Emit, OwnThread
from serve_apps.errors import ConfigError, StageFailed
from serve_apps.wire import Audio, Samples, Word

_MUTE = frozenset({"fo", "kaa", "xex"})
"""Voice files whose dictionaries espeakng-loader 0.2.4 leaves out: they say nothing."""

# Names and numbers from espeak-ng 1.52's speak_lib.h.
_AUDIO_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARS_UTF8, _END_PAUSE = 1, 0x1000
_CHUNK_MS = 60
_EVENTS_END, _EVENT_WORD = 0, 1
_NOTHING = np.zeros(0, np.int16)
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
class Language:
    """One voice file of espeak-ng."""

    id: str
    name: str
    path: str
    also: dict[str, int]
    """Languages it can stand in for, with their priority; lower is better."""


@dataclass(frozen=True, slots=True)
class Manner:
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


class Library:
    """The loaded library. Every call into it happens on its one thread."""

    def __init__(self) -> None:
        self._thread = OwnThread("espeak")
        self.rate_hz, self.version, self.languages = self._thread.call(self._load)
        variants = Path(espeakng_loader.get_data_path(), "voices", "!v")
        self.variants = {path.name.lower(): path.name for path in variants.iterdir()}

    def _load(self) -> tuple[int, str, dict[str, Language]]:
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
        self._manner: Manner | None = None
        return rate_hz, self._c.espeak_Info(None).decode(), _languages(self._c.espeak_ListVoices(None))

    def speak(self, text: str, manner: Manner) -> Iterator[Audio]:
        """Yield sound while the library makes them; closing the iterator stops it."""
        return self._thread.stream(lambda emit: self._synthesise(text, manner, emit))

    def _synthesise(self, text: str, manner: Manner, emit: Emit) -> None:
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

    def _set(self, manner: Manner) -> None:
        if manner == self._manner:
            return
        self._manner = None
        if self._c.espeak_SetVoiceByName(manner.voice.encode()) != 0:
            raise StageFailed("tts", f"espeak-ng cannot load its voice {manner.voice!r}.")
        for parameter, value in manner.parameters:
            self._c.espeak_SetParameter(parameter, value, 0)
        self._manner = manner


library = cache(Library)


def _words_of(address: int | None) -> list[_Event]:
    """The words in a C array of events, which an event of type 0 ends."""
    words: list[_Event] = []
    while address and (event := _Event.from_address(address)).type != _EVENTS_END:
        if event.type == _EVENT_WORD:
            words.append(event)
        address += ctypes.sizeof(_Event)
    return words


def _languages(records: Any) -> dict[str, Language]:
    found: dict[str, Language] = {}
    for record in (pointer.contents for pointer in takewhile(bool, records)):
        path = record.identifier.decode()
        also = _priorities(record.languages)
        first = next(iter(also))
        # Two files call themselves yue: the second goes by its file's name.
        id_ = first if first not in found else Path(path).name.lower()
        if id_ not in _MUTE:
            found[id_] = Language(id_, record.name.decode(), path, also)
    return found


def _priorities(address: int) -> dict[str, int]:
    """Read a C list of (priority byte, NUL-terminated tag), ended by a zero byte."""
    tags: dict[str, int] = {}
    while priority := ctypes.string_at(address, 1)[0]:
        tag = ctypes.string_at(address + 1)
        tags[tag.decode().lower()] = priority
        address += len(tag) + 2
    return tags
