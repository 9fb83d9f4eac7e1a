"""The parts of a live session by themselves: what was played, what is told to the model, what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from serve_apps.errors import InputError, StageFailed
from serve_apps.realtime.answer import MAX_HELD, Answer
from serve_apps.realtime.conversation import MAX_KEPT_AUDIO, Conversation, Item
from serve_apps.realtime.input_buffer import InputBuffer
from serve_apps.realtime.playback import Playback
from serve_apps.realtime.speculation import Speculation
from serve_apps.wire import (
    STT_RATE_HZ,
    Audio,
    AudioSegment,
    Samples,
    TextDelta,
    TurnEvent,
    TurnFailed,
    Word,
)

# ---- input buffer -------------------------------------------------------------------------------


def ramp(start: int, n: int) -> Samples:
    return np.arange(start, start + n, dtype=np.float32)


def test_the_buffer_cuts_by_stream_time_and_forgets() -> None:
    buffer = InputBuffer()
    for start in range(0, 16_000, 320):
        buffer.append(ramp(start, 320))
    assert buffer.end_s == 1.0
    assert np.array_equal(buffer.cut(0.5, 0.6), ramp(8_000, 1_600))
    assert np.array_equal(buffer.cut(0.99), ramp(15_840, 160))
    buffer.forget_before(0.51)
    assert buffer.start_s == 0.5
    assert np.array_equal(buffer.cut(0.0, 0.51), ramp(8_000, 160))
    assert not len(buffer.cut(2.0, 3.0))
    assert not len(InputBuffer().cut(0.0))


# ---- playback -----------------------------------------------------------------------------------


def segment(index: int, text: str, seconds: float, *, first: bool = True, words: bool = True) -> AudioSegment:
    """A chunk of a clause whose words are spread evenly."""
    parts = text.split()
    step_s = seconds / len(parts)
    marks = tuple(Word(text=w, start_s=i * step_s, end_s=(i + 1) * step_s) for i, w in enumerate(parts))
    sound = Audio(
        samples=np.full(round(seconds * 16_000), 0.1 * (index + 1), np.float32),
        rate_hz=16_000,
        words=marks if words else (),
    )
    shown = f"{text} " if first else ""
    return AudioSegment(index=index, text=shown, spoken=text if first else "", audio=sound)


def story(*, words: bool = True) -> Playback:
    playback = Playback(keep_reference=True)
    playback.add(segment(0, "Once upon a time", 2.0, words=words))
    playback.add(segment(1, "there was a fox.", 2.0, words=words))
    playback.finish()
    return playback


@pytest.mark.parametrize(
    ("played_s", "heard"),
    [
        (0.0, ""),
        (0.2, "Once"),
        (0.6, "Once upon"),
        (1.9, "Once upon a time"),
        (2.6, "Once upon a time there was"),
        (4.0, "Once upon a time there was a fox."),
        (9.0, "Once upon a time there was a fox."),
    ],
)
async def test_what_was_heard_ends_with_the_word_that_was_playing(played_s: float, heard: str) -> None:
    playback = story()
    playback.stop(played_s)
    assert playback.heard_text == heard
    assert playback.played_s() == min(played_s, 4.0)
    assert not playback.audible


async def test_without_the_engines_times_the_cut_is_estimated() -> None:
    playback = story(words=False)
    playback.stop(2.7)
    assert playback.heard_text is not None
    assert playback.heard_text.startswith("Once upon a time there")
    assert not playback.heard_text.endswith("fox.")


async def test_a_report_counts_and_without_one_sound_plays_in_real_time() -> None:
    playback = story()
    now = asyncio.get_running_loop().time()
    assert playback.audible
    assert playback.played_s(now + 1.5) == pytest.approx(1.5, abs=0.1)
    assert playback.played_s(now + 100) == 4.0
    playback.report(1.0, playing=True)
    assert playback.played_s(now + 0.5) == pytest.approx(1.5, abs=0.1)
    playback.report(1.2, playing=False)
    assert playback.played_s(now + 50) == 1.2
    playback.report(99.0, playing=False)
    assert playback.played_s() == 4.0


async def test_the_reference_is_what_the_speaker_played_then() -> None:
    playback = story()
    now = asyncio.get_running_loop().time()
    playback.report(2.0, playing=True)
    played = playback.reference(now - 0.5, now + 0.5)
    assert len(played) == STT_RATE_HZ
    assert played[:7_000].mean() == pytest.approx(0.1, abs=0.01)
    assert played[9_000:].mean() == pytest.approx(0.2, abs=0.01)
    assert not playback.reference(now - 60, now - 59).any(), "before it began there was silence"
    assert not playback.reference(now + 60, now + 61).any()
    assert "fox" in playback.said_between(2.5, 3.0)
    assert "fox" not in playback.said_between(0.0, 1.0)


# ---- conversation -------------------------------------------------------------------------------


def user(text: str, **more: object) -> Item:
    return Item(role="user", kind="text", text=text, **more)  # type: ignore[arg-type]


async def test_who_was_cut_off_and_went_on_said_one_thing() -> None:
    conversation = Conversation()
    unheard = Item(role="assistant", kind="audio", text="Well", playback=story())
    assert unheard.playback
    unheard.playback.stop(0.0)
    for item in (user("Could you tell me about"), unheard, user("the weather?"), user("  ")):
        conversation.insert(item)
    assert [(m.role, m.content) for m in conversation.messages()] == [
        ("user", "Could you tell me about the weather?")
    ]


def test_an_id_is_taken_once() -> None:
    conversation = Conversation()
    assert conversation.insert(user("a", id="x")) is None
    assert conversation.insert(user("b")) == "x"
    with pytest.raises(InputError, match="already"):
        conversation.insert(user("c", id="x"))


def test_old_sound_is_forgotten_and_its_words_stay() -> None:
    conversation = Conversation()
    for n in range(4):
        sound = np.zeros(MAX_KEPT_AUDIO // 2, np.float32)
        conversation.insert(Item(role="user", kind="audio", text=str(n), audio=sound))
    assert [item.audio is None for item in conversation] == [True, True, False, False]
    assert conversation.messages()[0].content == "0 1 2 3"


# ---- answers and speculation --------------------------------------------------------------------


class Endless:
    """A turn without an end, that counts what was taken from it."""

    def __init__(self) -> None:
        self.n_made = 0
        self.closed = asyncio.Event()

    async def events(self) -> AsyncIterator[TurnEvent]:
        try:
            while True:
                self.n_made += 1
                yield TextDelta(text="on ")
        finally:
            self.closed.set()


async def settle() -> None:
    for _ in range(3 * MAX_HELD):
        await asyncio.sleep(0)


async def test_an_answer_that_nobody_takes_is_bounded_and_can_be_dropped() -> None:
    turn = Endless()
    answer = Answer(turn.events(), "voice", ())  # type: ignore[arg-type]
    await settle()
    assert turn.n_made == MAX_HELD + 1
    await answer.drop()
    assert turn.closed.is_set()
    assert [event async for event in answer.events()] == [], "whoever listens hears the end"


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_stream_that_breaks_ends_in_a_failure(error: type[BaseException]) -> None:
    """Serve cancels calls, too, and nobody may wait for their answer then."""

    async def broken() -> AsyncIterator[TurnEvent]:
        yield TextDelta(text="a")
        raise error

    answer = Answer(broken(), "voice", ())  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        events = [e async for _, e in answer.events()]
    assert events[0] == TextDelta(text="a")
    assert isinstance(events[1], TurnFailed)


async def test_a_speculation_without_words_asks_nothing() -> None:
    async def understand() -> str:
        return ""

    speculation = Speculation(understand, None)
    assert await speculation.understood() == ""
    assert speculation.take_answer() is None


async def test_a_speculation_tells_of_a_broken_stt() -> None:
    async def understand() -> str:
        raise StageFailed("stt", "Broken.")

    speculation = Speculation(understand, None)
    with pytest.raises(StageFailed, match="Broken"):
        await speculation.understood()
    await speculation.drop()
