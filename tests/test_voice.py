"""The voice conductor over gated stages: what may wait for what, failures of each stage, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import pytest
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as build

from serve_apps import voice
from serve_apps.args import ConductorArgs
from serve_apps.errors import AudioTooLong, EmptyInput, RaydioError, StageFailed, StageUnavailable
from serve_apps.voice import LOOK_AHEAD_CHUNKS, VoiceConductor
from serve_apps.wire import (
    Audio,
    AudioSegment,
    FinalTranscript,
    LlmUsage,
    Message,
    Segment,
    Source,
    SourcesFound,
    Span,
    SpeakRequest,
    StageReport,
    SttOptions,
    TextDelta,
    Transcript,
    TranscriptUpdate,
    TurnDone,
    TurnEvent,
    TurnFailed,
    TurnRequest,
    Voice,
    VoiceTurnRequest,
)

AUDIO = Audio(samples=np.ones(1600, np.float32), rate_hz=16_000)
DONE = TurnDone(
    finish_reason="stop",
    usage=LlmUsage(prompt_tokens=5, completion_tokens=9),
    tokens_per_s=50.0,
    first_token_ms=7.0,
    waterfall=(Span(name="first token", start_ms=1.0, duration_ms=6.0),),
    notes=("From the chat.",),
)
TWO_CLAUSES = ("It is a fine day.", " The sun shines.")


class Gate:
    """Closed until it is opened; says when somebody stands before it, and counts streams under way."""

    def __init__(self, *, opened: bool = True) -> None:
        self.way = asyncio.Event()
        self.reached = asyncio.Event()
        self.n_open = 0
        if opened:
            self.way.set()

    async def passed(self) -> None:
        self.reached.set()
        await self.way.wait()

    def __enter__(self) -> None:
        self.n_open += 1

    def __exit__(self, *_: object) -> None:
        self.n_open -= 1


class Described:
    async def describe(self) -> StageReport:
        raise NotImplementedError


class GatedStt(Described):
    """Hears `text`, or fails."""

    def __init__(self, heard: str | RaydioError = "How is the day?") -> None:
        self.heard = heard
        self.gate = Gate()
        self.options: list[SttOptions] = []

    async def transcribe(self, audio: Audio, options: SttOptions) -> Transcript:
        self.options.append(options)
        with self.gate:
            await self.gate.passed()
            if isinstance(self.heard, RaydioError):
                raise self.heard
            segments = (Segment(text=self.heard, start_s=0, end_s=1),) if self.heard else ()
            return Transcript(segments=segments, language="en", duration_s=audio.duration_s)

    def stream_transcribe(self, audio: Audio, options: SttOptions) -> AsyncIterator[TranscriptUpdate]:
        raise NotImplementedError


class GatedChat:
    """Tells `script`; None waits at the gate."""

    def __init__(self, *script: str | TurnEvent | RaydioError | None) -> None:
        self.script = script or (*TWO_CLAUSES, DONE)
        self.gate = Gate(opened=False)
        self.requests: list[TurnRequest] = []

    async def stream_turn(self, request: TurnRequest) -> AsyncIterator[TurnEvent]:
        self.requests.append(request)
        with self.gate:
            for step in self.script:
                if step is None:
                    await self.gate.passed()
                elif isinstance(step, RaydioError):
                    raise step
                else:
                    yield TextDelta(text=step) if isinstance(step, str) else step


class GatedTts(Described):
    """Two chunks a clause; the gate stands before the first. `fails` maps a clause's number to its error."""

    def __init__(
        self, *, n_chunks: int = 2, rate_hz: int = 22_050, fails: dict[int, RaydioError] | None = None
    ) -> None:
        self.n_chunks = n_chunks
        self.rate_hz = rate_hz
        self.fails = fails or {}
        self.gate = Gate()
        self.requests: list[SpeakRequest] = []
        self.n_made = 0

    async def voices(self) -> list[Voice]:
        raise NotImplementedError

    async def stream_speak(self, request: SpeakRequest) -> AsyncIterator[Audio]:
        self.requests.append(request)
        n = len(self.requests) - 1
        with self.gate:
            await self.gate.passed()
            if n in self.fails:
                raise self.fails[n]
            for _ in range(self.n_chunks):
                self.n_made += 1
                yield Audio(samples=np.full(4, n, np.float32), rate_hz=self.rate_hz)


def request(**more: object) -> VoiceTurnRequest:
    return VoiceTurnRequest(**{"audio": AUDIO, "turn": TurnRequest(messages=()), **more})  # type: ignore[arg-type]


def conductor(
    stt: GatedStt | None = None,
    chat: GatedChat | None = None,
    tts: GatedTts | None = None,
    timeout_s: float = 30,
) -> VoiceConductor:
    args = ConductorArgs(turn_timeout_s=timeout_s)
    return VoiceConductor(stt or GatedStt(), chat or GatedChat(), tts or GatedTts(), args)


async def turn(conductor: VoiceConductor, **more: object) -> list[TurnEvent]:
    return [event async for event in conductor.stream_turn(request(**more))]


def spoken(events: list[TurnEvent]) -> list[tuple[int, str]]:
    return [(e.index, e.text) for e in events if isinstance(e, AudioSegment)]


def written(events: list[TurnEvent]) -> str:
    return "".join(e.text for e in events if isinstance(e, TextDelta))


async def test_a_turn_is_heard_written_and_spoken_in_order() -> None:
    events = await turn(conductor())
    assert events[0] == FinalTranscript(text="How is the day?")
    assert written(events) == "".join(TWO_CLAUSES)
    assert spoken(events) == [(0, TWO_CLAUSES[0]), (0, ""), (1, TWO_CLAUSES[1]), (1, "")]
    assert isinstance(events[-1], TurnDone)
    assert sum(isinstance(e, TurnDone | TurnFailed) for e in events) == 1


async def test_each_clause_tells_once_how_it_is_shown_and_said() -> None:
    chat = GatedChat("**Well**, it is `fine`.", " See https://www.example.com/a.", DONE)
    segments = [e for e in await turn(conductor(chat=chat)) if isinstance(e, AudioSegment)]
    assert [(e.text, e.spoken) for e in segments] == [
        ("**Well**, it is `fine`.", "Well, it is fine."), ("", ""),
        (" See https://www.example.com/a.", "See example.com."), ("", ""),
    ]  # fmt: skip


async def test_sources_come_before_the_answer_that_rests_on_them() -> None:
    found = SourcesFound(sources=(Source(id="a", title="A", text="The day is fine.", score=0.9),))
    events = await turn(conductor(chat=GatedChat(found, *TWO_CLAUSES, DONE)))
    assert [type(e) for e in events][:3] == [FinalTranscript, SourcesFound, TextDelta]
    assert events[1] == found


async def test_the_stages_get_what_the_caller_asked_for() -> None:
    stt, chat, tts = GatedStt(), GatedChat(), GatedTts()
    before = (Message(role="user", content="a"), Message(role="assistant", content="b"))
    await turn(
        conductor(stt, chat, tts),
        turn=TurnRequest(messages=before, caller="anna"),
        voice="de",
        language="de",
        speed=1.5,
    )
    assert stt.options == [SttOptions(language="de")]
    (asked,) = chat.requests
    assert asked.messages == (*before, Message(role="user", content="How is the day?"))
    assert asked.system_prompt == voice.prompt("voice")
    assert (asked.caller, asked.max_tokens) == ("anna", voice.MAX_SPOKEN_TOKENS)
    assert tts.requests[0] == SpeakRequest(text=TWO_CLAUSES[0].strip(), voice="de", language="de", speed=1.5)


async def test_a_typed_turn_is_answered_in_speech_without_listening() -> None:
    stt, chat = GatedStt(), GatedChat()
    typed = (Message(role="user", content="How is the day?"),)
    events = await turn(conductor(stt, chat), audio=None, turn=TurnRequest(messages=typed))
    assert not stt.options
    assert chat.requests[0].messages == typed
    assert not any(isinstance(e, FinalTranscript) for e in events)
    assert [index for index, _ in spoken(events)] == [0, 0, 1, 1]
    assert isinstance(events[-1], TurnDone)
    assert "transcript" not in [s.name for s in events[-1].waterfall]


async def test_the_waterfall_names_every_part_and_counts_from_the_start_of_the_turn() -> None:
    *_, done = await turn(conductor())
    assert isinstance(done, TurnDone)
    spans = {s.name: s for s in done.waterfall}
    assert list(spans) == ["transcript", "first token", "first clause", "first audio", "speech"]
    heard_ms = spans["transcript"].duration_ms
    assert spans["first token"].start_ms == pytest.approx(heard_ms + 1)
    assert done.first_token_ms == pytest.approx(heard_ms + 7)
    assert spans["first audio"].start_ms + spans["first audio"].duration_ms == pytest.approx(
        spans["speech"].start_ms
    )


async def test_the_first_clause_sounds_before_the_answer_is_complete() -> None:
    chat = GatedChat(*TWO_CLAUSES, None, "And so on.", DONE)
    async with aclosing(conductor(chat=chat).stream_turn(request())) as events:
        async for event in events:
            if isinstance(event, AudioSegment):
                break
    assert event == AudioSegment(index=0, text=TWO_CLAUSES[0], spoken=TWO_CLAUSES[0], audio=event.audio)
    assert not chat.gate.way.is_set()


async def test_text_does_not_wait_for_a_slow_voice() -> None:
    tts = GatedTts()
    tts.gate.way.clear()
    told: list[TurnEvent] = []
    async with aclosing(conductor(tts=tts).stream_turn(request())) as events:
        async for event in events:
            told.append(event)
            if written(told) == "".join(TWO_CLAUSES):
                break
        assert not spoken(told)
        tts.gate.way.set()
        told += [event async for event in events]
    assert [index for index, _ in spoken(told)] == [0, 0, 1, 1]


async def test_text_overtakes_audio_that_waits_to_be_taken() -> None:
    chat = GatedChat(*TWO_CLAUSES, None, "Late.", DONE)
    tts = GatedTts(n_chunks=8)
    async with aclosing(conductor(chat=chat, tts=tts).stream_turn(request())) as events:
        assert isinstance(await anext(events), FinalTranscript)
        await chat.gate.reached.wait()
        assert [await anext(events), await anext(events)] == [TextDelta(text=t) for t in TWO_CLAUSES]
        assert isinstance(await anext(events), AudioSegment)
        chat.gate.way.set()
        while not isinstance(event := await anext(events), TextDelta):
            pass
        rest = [e async for e in events]
    assert event == TextDelta(text="Late.")
    assert spoken(rest)


async def test_the_next_clause_is_made_while_the_one_before_is_sent_but_not_without_bound() -> None:
    tts = GatedTts(n_chunks=LOOK_AHEAD_CHUNKS - 2)
    async with aclosing(conductor(tts=tts).stream_turn(request())) as events:
        async for event in events:
            if isinstance(event, AudioSegment):
                break
        await until(lambda: len(tts.requests) == 2)
        await until(lambda: tts.n_made > LOOK_AHEAD_CHUNKS)
        # Nobody takes more: one on its way out, a full outbox, and one in the speaker's hand.
        for _ in range(100):
            await asyncio.sleep(0)
        assert tts.n_made <= LOOK_AHEAD_CHUNKS + 2
    assert tts.gate.n_open == 0


async def until(condition: object) -> None:
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 (a count in a fake)
            await asyncio.sleep(0)


SLOWLY = ("It is a fine day.", " The sun I think shines over the", " old har", None, "bour today.", DONE)
"""A model that pauses in the middle of its second sentence."""


async def test_before_the_voice_falls_silent_it_says_what_there_is() -> None:
    chat, tts = GatedChat(*SLOWLY), GatedTts()
    async with aclosing(conductor(chat=chat, tts=tts).stream_turn(request())) as events:
        told = [await anext(events)]
        while len(spoken(told)) < 4:
            told.append(await anext(events))
        assert [r.text for r in tts.requests] == [
            "It is a fine day.",
            "The sun I think shines over the old",
        ]
        chat.gate.way.set()
        told += [event async for event in events]
    assert tts.requests[-1].text == "harbour today."
    assert "".join(text for _, text in spoken(told)) == written(told)
    assert isinstance(told[-1], TurnDone)


async def test_while_there_is_sound_left_to_play_no_clause_is_cut_short() -> None:
    chat, tts = GatedChat(*SLOWLY), GatedTts(rate_hz=1)  # eight seconds a clause
    async with aclosing(conductor(chat=chat, tts=tts).stream_turn(request())) as events:
        told = [await anext(events)]
        while len(spoken(told)) < 2:
            told.append(await anext(events))
        await chat.gate.reached.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(tts.requests) == 1
        chat.gate.way.set()
        told += [event async for event in events]
    assert [r.text for r in tts.requests] == [
        "It is a fine day.",
        "The sun I think shines over the old harbour today.",
    ]


async def test_a_silent_voice_says_each_part_as_soon_as_there_is_one() -> None:
    chat = GatedChat("Yes. It was", None, " on the old table, I am", " sure.", DONE)
    tts = GatedTts()
    async with aclosing(conductor(chat=chat, tts=tts).stream_turn(request())) as events:
        told = [await anext(events)]
        await chat.gate.reached.wait()
        while len(spoken(told)) < 2:
            told.append(await anext(events))
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(tts.requests) == 1  # two words are too little to say
        chat.gate.way.set()
        told += [event async for event in events]
    assert [r.text for r in tts.requests][:2] == ["Yes.", "It was on the old table,"]
    assert "".join(text for _, text in spoken(told)) == written(told)


async def test_clauses_with_nothing_to_say_are_not_spoken() -> None:
    chat = GatedChat("Look:\n\n```\nx = 1\n```\n", "It works.", DONE)
    tts = GatedTts(fails={0: EmptyInput("Nothing to say.")})
    events = await turn(conductor(chat=chat, tts=tts))
    assert [r.text for r in tts.requests] == ["Look:", "It works."]
    assert [index for index, _ in spoken(events)] == [0, 0]
    assert isinstance(events[-1], TurnDone)
    assert events[-1].notes == DONE.notes


@pytest.mark.parametrize(
    ("heard", "code"),
    [
        ("", "no_speech"),
        (AudioTooLong("Over two minutes.", "Say less."), "audio_too_long"),
        (StageUnavailable("stt", "Restarting.", "Wait.", 3.0), "stage_unavailable"),
    ],
)
async def test_without_a_transcript_the_turn_fails_and_nothing_else_is_asked(
    heard: str | RaydioError, code: str
) -> None:
    chat = GatedChat()
    (failure,) = await turn(conductor(GatedStt(heard), chat))
    assert isinstance(failure, TurnFailed)
    assert (failure.stage, failure.code) == ("stt", code)
    assert not chat.requests


@pytest.mark.parametrize(
    "end",
    [
        TurnFailed(stage="llm", code="stage_busy", message="Busy.", retry_after_s=2.0),
        StageUnavailable("chat", "Restarting."),
        None,
    ],
    ids=["failed", "lost", "no end"],
)
async def test_a_failed_answer_ends_the_turn_and_the_voice(end: TurnEvent | RaydioError | None) -> None:
    tts = GatedTts()
    tts.gate.way.clear()
    events = await turn(conductor(chat=GatedChat(TWO_CLAUSES[0], *([end] if end else [])), tts=tts))
    assert written(events) == TWO_CLAUSES[0]
    assert isinstance(events[-1], TurnFailed)
    assert tts.gate.n_open == 0


@pytest.mark.parametrize(("failing", "n_spoken"), [(0, 0), (1, 2)])
async def test_when_the_voice_fails_the_text_goes_on_with_a_note(failing: int, n_spoken: int) -> None:
    tts = GatedTts(fails={failing: StageFailed("tts", "It is hoarse.", "Try another voice.")})
    events = await turn(conductor(tts=tts))
    assert written(events) == "".join(TWO_CLAUSES)
    assert len(spoken(events)) == n_spoken
    done = events[-1]
    assert isinstance(done, TurnDone)
    assert done.notes == (
        "From the chat.",
        "The rest of the answer is not spoken: It is hoarse. Try another voice.",
    )


@pytest.mark.parametrize("stage", ["stt", "chat", "tts"])
async def test_the_deadline_ends_every_stage(stage: str) -> None:
    stt, chat, tts = (
        GatedStt(),
        GatedChat(*TWO_CLAUSES, *([None] if stage == "chat" else []), DONE),
        GatedTts(),
    )
    if stage != "chat":
        {"stt": stt, "tts": tts}[stage].gate.way.clear()
    events = await turn(conductor(stt, chat, tts, timeout_s=0.1))
    if stage == "tts":
        assert isinstance(events[-1], TurnDone)
        assert "not spoken" in events[-1].notes[-1]
    else:
        assert isinstance(events[-1], TurnFailed)
        assert (events[-1].stage, events[-1].code) == (stage, "stage_timeout")
    assert stt.gate.n_open + chat.gate.n_open + tts.gate.n_open == 0


@pytest.mark.parametrize("stage", ["stt", "chat", "tts"])
async def test_a_caller_that_is_cancelled_stops_every_stage(stage: str) -> None:
    stt, chat, tts = GatedStt(), GatedChat(*TWO_CLAUSES, None, DONE), GatedTts(n_chunks=10_000)
    gates = {"stt": stt.gate, "chat": chat.gate, "tts": tts.gate}
    if stage != "chat":
        gates[stage].way.clear()
    n_tasks = len(asyncio.all_tasks())
    caller = asyncio.create_task(_drain(conductor(stt, chat, tts).stream_turn(request())))
    await gates[stage].reached.wait()
    caller.cancel()
    await asyncio.wait([caller])
    assert sum(gate.n_open for gate in gates.values()) == 0
    assert len(asyncio.all_tasks()) == n_tasks


async def _drain(events: AsyncIterator[TurnEvent]) -> None:
    async for _ in events:
        pass


async def test_closing_between_two_events_stops_every_stage() -> None:
    chat, tts = GatedChat(*TWO_CLAUSES, None, DONE), GatedTts(n_chunks=10_000)
    async with aclosing(conductor(chat=chat, tts=tts).stream_turn(request())) as events:
        while not isinstance(await anext(events), AudioSegment):
            pass
        assert chat.gate.n_open == tts.gate.n_open == 1
    assert chat.gate.n_open == tts.gate.n_open == 0


def test_serve_checks_the_arguments_of_the_application() -> None:
    built = build(voice.app, {"turn_timeout_s": 5})
    assert built._bound_deployment.init_args == (ConductorArgs(turn_timeout_s=5),)
    with pytest.raises(ValueError, match="turn_timeout"):
        build(voice.app, {"turn_timeout": 5})
