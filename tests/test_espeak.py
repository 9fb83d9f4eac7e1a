"""The espeak engine on the real library."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from serve_apps.args import TtsArgs
from serve_apps.engines.espeak import EspeakTts
from serve_apps.errors import ConfigError, UnknownName
from serve_apps.wire import Samples, SpeakRequest, Word


@pytest.fixture(scope="module")
def engine() -> EspeakTts:
    return EspeakTts(TtsArgs())


def said(engine: EspeakTts, text: str, **options: object) -> Samples:
    pieces = engine.speak(SpeakRequest(text=text, **options))  # type: ignore[arg-type]
    return np.concatenate([np.zeros(0, np.float32), *(piece.samples for piece in pieces)])


def words(engine: EspeakTts, text: str, **options: object) -> list[Word]:
    """Every word, its times counted from the start of the sound."""
    found, at_s = [], 0.0
    for piece in engine.speak(SpeakRequest(text=text, **options)):  # type: ignore[arg-type]
        assert piece.rate_hz == engine.rate_hz
        assert all(0 <= word.start_s <= piece.duration_s for word in piece.words)
        found += [replace(w, start_s=w.start_s + at_s, end_s=w.end_s + at_s) for w in piece.words]
        at_s += piece.duration_s
    return found


def duration_s(engine: EspeakTts, text: str, **options: object) -> float:
    return len(said(engine, text, **options)) / engine.rate_hz


@pytest.mark.parametrize(
    "text",
    [
        "Hello there.",
        "😀👨‍👩‍👧🎉",
        "مرحبا، كيف حالك؟",
        "שלום עולם",
        "\x00a\x01b\x1b[31m",
        "half a \ud83d surrogate",
        "你好。再见。",
        "<speak>not markup</speak> & [[h@loU]]",
        "supercalifragilistic" * 50,
    ],
)
def test_speaks_anything(engine: EspeakTts, text: str) -> None:
    samples = said(engine, text)
    assert samples.dtype == np.float32
    assert len(samples) > 0.2 * engine.rate_hz
    assert 0.05 < np.abs(samples).max() <= 1


def test_marks_alone_are_a_short_silence(engine: EspeakTts) -> None:
    assert 0 < duration_s(engine, "?!...") < 2


def test_the_first_piece_is_short_and_early(engine: EspeakTts) -> None:
    said(engine, "Warm up.")
    started = time.perf_counter()
    pieces = engine.speak(SpeakRequest(text="A rather long text, and it goes on. " * 1000))
    first = next(pieces)
    assert time.perf_counter() - started < 0.1  # typically under 1 ms; the machine may be busy
    assert first.duration_s <= 0.061


def test_a_hundred_thousand_characters(engine: EspeakTts) -> None:
    text = "one two three, " * 6700
    n_samples = sum(len(piece.samples) for piece in engine.speak(SpeakRequest(text=text, speed=3)))
    assert n_samples > 1000 * engine.rate_hz


def test_words_are_told_as_they_are_written(engine: EspeakTts) -> None:
    text = "Hello there, it costs 3.14 dollars in 2024. Müller says 😀 now!"
    assert [word.text for word in words(engine, text)] == [
        "Hello", "there", "it", "costs", "3.14", "dollars", "in", "2024", "Müller", "says", "😀", "now",
    ]  # fmt: skip
    syllables = [word.text for word in words(engine, "你好，今天天气很好。", language="zh")]  # noqa: RUF001
    assert syllables == ["你", "今", "天", "天", "气", "很"]  # it does not tell of a phrase's last one
    assert [word.text for word in words(engine, "مرحبا كيف حالك", language="ar")] == ["مرحبا", "كيف", "حالك"]


def test_a_word_begins_where_it_is_heard(engine: EspeakTts) -> None:
    """What is said after the last word begins is what espeak says of that word alone."""
    text = "Somebody called yesterday, and then they called again."
    marks, whole = words(engine, text), said(engine, text)
    starts_s = [word.start_s for word in marks]
    assert starts_s == sorted(starts_s)
    pause_s = marks[3].start_s - marks[2].end_s
    before = whole[
        round((marks[3].start_s - 0.06) * engine.rate_hz) : round(marks[3].start_s * engine.rate_hz)
    ]
    assert pause_s > 0.05
    assert np.abs(before).max() < 0.02  # the comma's silence ends exactly there
    assert marks[-1].end_s < len(whole) / engine.rate_hz


def test_a_faster_voice_has_earlier_words(engine: EspeakTts) -> None:
    text = "One two three four five six seven eight."
    slow, fast = words(engine, text), words(engine, text, speed=2.0)
    assert fast[-1].start_s < 0.6 * slow[-1].start_s
    assert fast[0].end_s - fast[0].start_s == pytest.approx((slow[0].end_s - slow[0].start_s) / 2)


@pytest.mark.parametrize("text", ["?!...", "", "\x00", "a\x00b c\nd", "x" * 700, "half \ud83d"])
def test_words_of_odd_text_are_of_the_text(engine: EspeakTts, text: str) -> None:
    assert all(word.text.strip() and word.text in text for word in words(engine, text))


def test_speed_and_pitch_change_the_sound(engine: EspeakTts) -> None:
    text = "The quick brown fox jumps over the lazy dog."
    normal = duration_s(engine, text)
    assert duration_s(engine, text, speed=0.5) > 1.6 * normal
    assert duration_s(engine, text, speed=2.0) < 0.6 * normal
    assert duration_s(engine, text, speed=3.0) < 0.45 * normal
    low, high = (said(engine, "Aaaah", pitch=pitch) for pitch in (0.5, 2.0))
    assert spectral_centre(high, engine.rate_hz) != pytest.approx(
        spectral_centre(low, engine.rate_hz), rel=0.02
    )


def spectral_centre(samples: Samples, rate_hz: int) -> float:
    strength = np.abs(np.fft.rfft(samples))
    return float((strength * np.fft.rfftfreq(len(samples), 1 / rate_hz)).sum() / strength.sum())


def test_closing_the_iterator_stops_it_and_frees_the_library(engine: EspeakTts) -> None:
    pieces = engine.speak(SpeakRequest(text="word " * 20_000))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    started = time.perf_counter()
    assert duration_s(engine, "Next.") > 0.2
    assert time.perf_counter() - started < 1


def test_many_threads_each_get_their_own_words(engine: EspeakTts) -> None:
    alone = {name: said(engine, "Good morning, everybody. How are you?", voice=name) for name in VOICES}
    together: dict[str, Samples] = {}

    def speak(name: str) -> None:
        together[name] = said(engine, "Good morning, everybody. How are you?", voice=name)

    threads = [threading.Thread(target=speak, args=(name,)) for name in VOICES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in VOICES:
        assert len(together[name]) == pytest.approx(len(alone[name]), rel=0.02), name


VOICES = ("en-us", "en-gb", "de", "fr+f2", "en-us+m3", "es")


def test_voices_of_every_language_the_default_first(engine: EspeakTts) -> None:
    voices = engine.voices()
    assert voices[0].id == "en-us"
    assert len({voice.language for voice in voices}) == 138
    assert len({voice.id for voice in voices}) == len(voices)
    assert {voice.gender for voice in voices} == {"female", "male", "unknown"}


def test_every_language_can_speak(engine: EspeakTts) -> None:
    silent = [v.id for v in engine.voices() if "+" not in v.id and not said(engine, "abc", voice=v.id).any()]
    assert silent == []


def test_the_configured_voice_is_the_default() -> None:
    assert EspeakTts(TtsArgs(voice="de+f2")).voices()[0].id == "de+f2"
    assert EspeakTts(TtsArgs(voice="de+zac")).voices()[0].id == "de+zac"
    with pytest.raises(UnknownName):
        EspeakTts(TtsArgs(voice="nobody"))


@pytest.mark.parametrize(
    ("language", "voice", "same_as"),
    [
        ("de-DE", "", "de"),
        ("de_AT", "", "de"),
        ("zh", "", "cmn"),
        ("en", "", "en-us"),
        ("en-GB", "", "en-gb"),
        ("fr", "en-us+f2", "fr+f2"),
        ("", "EN-US+F2", "en-us+f2"),
    ],
)
def test_languages_find_their_voice(engine: EspeakTts, language: str, voice: str, same_as: str) -> None:
    assert engine._voice_id(voice, language) == engine._voice_id(same_as, "")


@pytest.mark.parametrize(
    ("options", "near"),
    [
        ({"voice": "english"}, "en-us|en-gb"),
        ({"voice": "german"}, "de"),
        ({"voice": "en-us+whispe"}, r"en-us\+whisper"),
        ({"language": "xx-yy"}, "espeak-ng has no language"),
        ({"voice": "x" * 5000}, "Choose one"),
    ],
)
def test_unknown_names_say_what_is_near(engine: EspeakTts, options: dict[str, str], near: str) -> None:
    with pytest.raises(UnknownName, match=near):
        engine.speak(SpeakRequest(text="hi", **options))  # type: ignore[arg-type]


def test_options_are_checked() -> None:
    EspeakTts(TtsArgs(engine_options={"word_gap": 5}))
    with pytest.raises(ConfigError, match="no option"):
        EspeakTts(TtsArgs(engine_options={"speed": 5}))


def test_the_card_names_the_licence(engine: EspeakTts) -> None:
    assert engine.card.licence == "GPL-3.0-or-later, loaded at run time"
    assert engine.card.size_bytes > 10_000_000
