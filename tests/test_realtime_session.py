"""A live session over fake clients and the real voice detector: turns, answers, interruptions."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from serve_apps.args import ConductorArgs
from serve_apps.contracts import Clients
from serve_apps.errors import InputError, RaydioError, StageFailed, UnknownName
from serve_apps.media import read
from serve_apps.realtime import client_events as say
from serve_apps.realtime.config import Session as Settings
from serve_apps.realtime.session import Session
from serve_apps.samples import to_int16
from serve_apps.settings import ASSETS
from serve_apps.voice import VoiceConductor
from serve_apps.wire import Audio, Segment, SttOptions, Transcript, Word
from tests.fake_clients import TRANSCRIPT, FakeChat, FakeStt, FakeTts, fake_clients
from tests.live_door import END, TURN

RATE_HZ = 24_000
STEP_S = 0.02
PATIENCE_S = 20.0


class Told:
    """An outbox that keeps everything, and on which a test can wait."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def emit(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._news.set()

    async def room(self) -> None:
        await asyncio.sleep(0)

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, type_: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == type_]

    async def wait(self, type_: str, n: int = 1) -> dict[str, Any]:
        """The n-th event of a type."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.of(type_)) < n:
                self._news.clear()
                await self._news.wait()
        return self.of(type_)[n - 1]


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop run until something has happened."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 (the fakes have no event for everything)
            await asyncio.sleep(0)


class ScriptedStt(FakeStt):
    """Understands what the test says it does, one text a call; the last one again and again."""

    def __init__(self, *texts: str | RaydioError) -> None:
        super().__init__()
        self.texts = list(texts) or [TRANSCRIPT]
        self.heard: list[float] = []

    async def transcribe(self, audio: Audio, options: SttOptions) -> Transcript:
        self.heard.append(audio.duration_s)
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        if isinstance(text, RaydioError):
            raise text
        whole = await super().transcribe(audio, options)
        segment = whole.segments[0]
        parts = (type(segment)(text=text, start_s=0, end_s=audio.duration_s),) if text else ()
        return Transcript(segments=parts, language="en", duration_s=audio.duration_s)


class Talk:
    """A session and what it told."""

    def __init__(self, clients: Clients) -> None:
        self.told = Told()
        self.session = Session(clients, self.told)
        self.session.start()

    def update(self, **update: Any) -> None:
        self.session.handle(say.UpdateSession(session=self.session.settings.merged(update)))

    async def hear(self, samples: np.ndarray[Any, Any], *, yields: int = 3) -> None:
        """Send sound as a microphone does, only faster: the stream's own time counts."""
        step = int(STEP_S * RATE_HZ)
        for start in range(0, len(samples), step):
            data = to_int16(samples[start : start + step]).astype("<i2").tobytes()
            self.session.handle(say.AppendAudio(data=data))
            for _ in range(yields):
                await asyncio.sleep(0)

    async def silence(self, seconds: float) -> None:
        await self.hear(np.zeros(int(seconds * RATE_HZ), np.float32))

    def ask(self, **options: Any) -> None:
        session = self.session.settings.merged(options.pop("session", {}))
        self.session.handle(say.CreateResponse(options=say.ResponseOptions(session=session, **options)))

    def write(self, text: str, role: Any = "user", **more: Any) -> None:
        self.session.handle(say.CreateItem(item=say.NewItem(role=role, text=text), **more))


@pytest.fixture(scope="module")
def question() -> np.ndarray[Any, Any]:
    """A spoken question, 24 kHz."""
    return read(ASSETS / "samples" / "question.ogg", rate_hz=RATE_HZ).samples


def clients(chat: Any = None, stt: Any = None, tts: Any = None) -> Clients:
    stt, chat, tts = stt or FakeStt(), chat or FakeChat(), tts or FakeTts()
    return fake_clients(stt=stt, chat=chat, tts=tts, voice=VoiceConductor(stt, chat, tts, ConductorArgs()))


@asynccontextmanager
async def talking(served: Clients | None = None) -> AsyncIterator[Talk]:
    talk = Talk(served or clients())
    try:
        yield talk
    finally:
        await talk.session.close()


async def test_a_spoken_turn_is_told_in_the_protocols_order(question: np.ndarray[Any, Any]) -> None:
    async with talking() as talk:
        await talk.hear(question)
        await talk.silence(1.0)
        await talk.told.wait("raydio.turn")
        types = [t for t in talk.told.types() if t != "raydio.transcript.partial"]
        assert types[:2] == ["session.created", "raydio.session"]
        assert types[2 : 2 + len(TURN)] == TURN
        assert types[-len(END) - 1 :] == [*END, "raydio.turn"]
        between = set(types[2 + len(TURN) : -len(END) - 1])
        assert between == {
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "raydio.captions",
        }
        done = talk.told.of("response.done")[0]["response"]
        assert done["status"] == "completed"
        assert done["usage"]["output_tokens"] > 0
        written = "".join(e["delta"] for e in talk.told.of("response.output_audio_transcript.delta"))
        assert written == f"You said: {TRANSCRIPT}" == done["output"][0]["content"][0]["transcript"]
        heard = talk.told.of("conversation.item.input_audio_transcription.completed")[0]
        assert heard["transcript"] == TRANSCRIPT
        assert heard["item_id"] == talk.told.of("input_audio_buffer.speech_started")[0]["item_id"]


async def test_partial_transcripts_come_while_the_user_speaks(question: np.ndarray[Any, Any]) -> None:
    async with talking() as talk:
        await talk.hear(question, yields=20)
        assert talk.told.of("raydio.transcript.partial")
        assert not talk.told.of("input_audio_buffer.speech_stopped")
        talk.update(raydio={"partial_transcripts": False})


async def test_silence_says_nothing() -> None:
    async with talking() as talk:
        await talk.silence(30.0)
        assert talk.told.types() == ["session.created", "raydio.session"]


async def test_the_answer_is_thought_over_in_the_silence_and_not_told(question: np.ndarray[Any, Any]) -> None:
    chat = FakeChat()
    async with talking(clients(chat)) as talk:
        talk.update(audio={"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 2000}}})
        await talk.hear(question)
        await talk.silence(1.0)
        await until(lambda: chat.n_finished + chat.n_closed)
        assert "input_audio_buffer.speech_stopped" not in talk.told.types()
        assert "response.created" not in talk.told.types()
        await talk.silence(1.5)
        await talk.told.wait("response.done")
        assert len(chat.requests) == 1, "the answer that was ready is the one that is told"
        turn = await talk.told.wait("raydio.turn")
        names = [span["name"] for span in turn["spans"]]
        assert names[:2] == ["silence", "transcript"]
        assert "first audio" in names


async def test_a_speculation_is_dropped_at_the_model_when_the_user_goes_on(
    question: np.ndarray[Any, Any],
) -> None:
    chat = FakeChat(endless=True, pause_s=0.001)
    async with talking(clients(chat)) as talk:
        talk.update(audio={"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 2000}}})
        await talk.hear(question)
        await talk.silence(1.0)
        await until(lambda: chat.requests)
        await talk.hear(question)
        await until(lambda: chat.n_closed)
        assert len(talk.told.of("input_audio_buffer.speech_started")) == 1
        assert "response.created" not in talk.told.types()
        assert not talk.session._conversation.messages(), "nothing speculative is stored"


async def test_an_unfinished_sentence_is_waited_for(question: np.ndarray[Any, Any]) -> None:
    stt = ScriptedStt("Could you tell me about the")
    async with talking(clients(stt=stt)) as talk:
        talk.update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
        await talk.hear(question)
        await talk.silence(1.0)
        assert "input_audio_buffer.speech_stopped" not in talk.told.types()
        await talk.silence(3.5)
        await talk.told.wait("response.done")


class TimedStt(ScriptedStt):
    """Hears a word a second, named after the second; remembers who asked for word times."""

    def __init__(self) -> None:
        super().__init__()
        self.timed: list[bool] = []

    async def transcribe(self, audio: Audio, options: SttOptions) -> Transcript:
        self.heard.append(audio.duration_s)
        self.timed.append(options.words)
        words = tuple(Word(text=f"w{n}", start_s=n, end_s=n + 1.0) for n in range(round(audio.duration_s)))
        text = " ".join(word.text for word in words)
        segment = Segment(text=text, start_s=0, end_s=audio.duration_s, words=words)
        return Transcript(segments=(segment,), language="en", duration_s=audio.duration_s)


async def test_who_hardly_pauses_is_heard_with_what_was_said_before(question: np.ndarray[Any, Any]) -> None:
    stt = TimedStt()
    async with talking(clients(stt=stt)) as talk:
        detection = {"type": "server_vad", "silence_duration_ms": 400, "create_response": False}
        talk.update(audio={"input": {"turn_detection": detection}}, raydio={"partial_transcripts": False})
        for pause_s in (0.6, 4.0, 1.0):
            await talk.hear(question)
            await talk.silence(pause_s)
        done = "conversation.item.input_audio_transcription.completed"
        await talk.told.wait(done, 3)
        first, second, third = (event["transcript"].split() for event in talk.told.of(done))
        assert stt.timed == [False, True, False]
        assert stt.heard[1] > stt.heard[0] + 1.5
        assert first[0] == third[0] == "w0"
        assert second[0] in {"w2", "w3"}, "the words of the turn before are not told again"
        assert len(second) <= len(first) + 1


async def test_noise_without_words_is_no_question(question: np.ndarray[Any, Any]) -> None:
    async with talking(clients(stt=ScriptedStt(""))) as talk:
        await talk.hear(question)
        await talk.silence(1.0)
        done = await talk.told.wait("conversation.item.input_audio_transcription.completed")
        assert done["transcript"] == ""
        assert "response.created" not in talk.told.types()


async def test_a_broken_stt_costs_the_turn_and_says_so(question: np.ndarray[Any, Any]) -> None:
    broken = StageFailed("stt", "The recogniser broke.", "Say it again.")
    stt = ScriptedStt(broken, broken, broken, broken, broken, "Hello.")
    async with talking(clients(stt=stt)) as talk:
        talk.update(raydio={"partial_transcripts": False})
        await talk.hear(question)
        await talk.silence(1.0)
        failed = await talk.told.wait("conversation.item.input_audio_transcription.failed")
        assert failed["error"]["message"] == "The recogniser broke. Say it again."
        stt.texts = ["Hello."]
        await talk.hear(question)
        await talk.silence(1.0)
        await talk.told.wait("response.done")
        assert [m.content for m in talk.session._conversation.messages()] == ["Hello.", "You said: Hello."]


async def test_a_failed_answer_says_so_and_the_next_one_works() -> None:
    chat = FakeChat(end=StageFailed("llm", "The model broke.", "Ask again."))
    async with talking(clients(chat)) as talk:
        talk.write("Hello")
        talk.ask()
        failed = (await talk.told.wait("response.done"))["response"]
        assert failed["status"] == "failed"
        assert "The model broke." in failed["status_details"]["error"]["message"]
        chat.end = None
        talk.write("Again")
        talk.ask()
        assert (await talk.told.wait("response.done", 2))["response"]["status"] == "completed"


# ---- push to talk, typed ------------------------------------------------------------------------


async def test_push_to_talk_commits_and_asks(question: np.ndarray[Any, Any]) -> None:
    async with talking() as talk:
        talk.update(audio={"input": {"turn_detection": None}})
        await talk.hear(question)
        assert "input_audio_buffer.speech_started" not in talk.told.types()
        talk.session.handle(say.CommitAudio())
        talk.ask()
        done = (await talk.told.wait("response.done"))["response"]
        assert done["output"][0]["content"][0]["transcript"] == f"You said: {TRANSCRIPT}"


async def test_a_client_that_wants_no_transcript_is_answered_without(question: np.ndarray[Any, Any]) -> None:
    async with talking() as talk:
        talk.update(audio={"input": {"transcription": None}})
        await talk.hear(question)
        await talk.silence(1.0)
        done = (await talk.told.wait("response.done"))["response"]
        assert done["output"][0]["content"][0]["transcript"] == f"You said: {TRANSCRIPT}"
        assert not [t for t in talk.told.types() if "transcription" in t]


async def test_an_empty_commit_is_refused() -> None:
    async with talking() as talk:
        talk.update(audio={"input": {"turn_detection": None}})
        with pytest.raises(InputError, match="0 ms"):
            talk.session.handle(say.CommitAudio())
        talk.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})
        with pytest.raises(InputError, match="no speech"):
            talk.session.handle(say.CommitAudio())


async def test_text_in_text_out() -> None:
    async with talking() as talk:
        talk.write("Hello there")
        talk.ask(session={"output_modalities": ["text"]})
        done = (await talk.told.wait("response.done"))["response"]
        assert done["output"][0]["content"] == [{"type": "output_text", "text": "You said: Hello there"}]
        assert "response.output_audio.delta" not in talk.told.types()
        assert "".join(e["delta"] for e in talk.told.of("response.output_text.delta")).endswith("there")


async def test_an_answer_outside_the_conversation_leaves_it_alone() -> None:
    async with talking() as talk:
        talk.write("Kept")
        talk.ask(in_conversation=False, input=(say.NewItem(role="user", text="Aside"),), metadata={"a": "b"})
        done = (await talk.told.wait("response.done"))["response"]
        assert done["conversation_id"] is None
        assert done["metadata"] == {"a": "b"}
        assert done["output"][0]["content"][0]["transcript"] == "You said: Aside"
        assert [m.content for m in talk.session._conversation.messages()] == ["Kept"]


async def test_only_one_response_at_a_time_and_cancel_stops_the_model() -> None:
    chat = FakeChat(endless=True, pause_s=0.001)
    async with talking(clients(chat)) as talk:
        with pytest.raises(InputError, match="nothing to answer"):
            talk.ask()
        talk.write("Hello")
        talk.ask()
        await talk.told.wait("response.output_audio_transcript.delta")
        with pytest.raises(InputError, match="under way"):
            talk.ask()
        talk.session.handle(say.CancelResponse())
        done = (await talk.told.wait("response.done"))["response"]
        assert done["status"] == "cancelled"
        assert done["status_details"]["reason"] == "client_cancelled"
        await until(lambda: chat.n_closed)
        n_told = len(talk.told.events)
        with pytest.raises(InputError, match="not under way"):
            talk.session.handle(say.CancelResponse())
        assert len(talk.told.events) == n_told


# ---- items --------------------------------------------------------------------------------------


async def test_items_can_be_placed_retrieved_and_deleted() -> None:
    async with talking() as talk:
        talk.write("second")
        first = talk.told.of("conversation.item.added")[0]
        assert first["previous_item_id"] is None
        talk.write("first", previous_item_id="root")
        talk.write("Be short.", role="system")
        talk.write("An answer.", role="assistant", previous_item_id=first["item"]["id"])
        messages = talk.session._conversation.messages()
        assert [m.content for m in messages] == ["first second", "An answer.", "Be short."]
        talk.session.handle(say.RetrieveItem(item_id=first["item"]["id"]))
        retrieved = talk.told.of("conversation.item.retrieved")[0]["item"]
        assert retrieved["content"] == [{"type": "input_text", "text": "second"}]
        talk.session.handle(say.DeleteItem(item_id=first["item"]["id"]))
        assert talk.told.of("conversation.item.deleted")[0]["item_id"] == first["item"]["id"]
        for event in (say.RetrieveItem(item_id="nope"), say.DeleteItem(item_id=first["item"]["id"])):
            with pytest.raises(UnknownName):
                talk.session.handle(event)


async def test_a_users_sound_can_be_retrieved_and_created(question: np.ndarray[Any, Any]) -> None:
    data = to_int16(question).astype("<i2").tobytes()
    async with talking() as talk:
        talk.session.handle(say.CreateItem(item=say.NewItem(role="user", audio=data)))
        talk.ask()
        done = (await talk.told.wait("response.done"))["response"]
        assert done["output"][0]["content"][0]["transcript"] == f"You said: {TRANSCRIPT}"
        item_id = talk.told.of("conversation.item.added")[0]["item"]["id"]
        talk.session.handle(say.RetrieveItem(item_id=item_id))
        content = talk.told.of("conversation.item.retrieved")[0]["item"]["content"][0]
        assert content["transcript"] == TRANSCRIPT
        assert len(base64.b64decode(content["audio"])) == pytest.approx(len(data), rel=0.01)


# ---- interruption -------------------------------------------------------------------------------


async def spoken(talk: Talk) -> str:
    """Have a long answer spoken; returns its item."""
    talk.write("Tell me a story")
    talk.ask()
    item_id = (await talk.told.wait("response.output_item.added"))["item"]["id"]
    await talk.told.wait("response.output_audio.delta", 4)
    return str(item_id)


STORY = "Once upon a time there was a fox. It lived in a wood, and it liked to jump over dogs. "


async def test_speech_interrupts_and_history_keeps_what_was_played(question: np.ndarray[Any, Any]) -> None:
    chat = FakeChat(STORY, endless=True, pause_s=0.001)
    stt = ScriptedStt("What about the weather in Paris?")
    async with talking(clients(chat, stt)) as talk:
        talk.update(raydio={"barge_in": {"echo_guard": False}})
        item_id = await spoken(talk)
        talk.session.handle(say.PlaybackReport(item_id=item_id, played_ms=700, playing=True))
        await talk.hear(question, yields=20)
        await talk.told.wait("raydio.barge_in.suspected")
        confirmed = await talk.told.wait("raydio.barge_in.confirmed")
        assert confirmed["item_id"] == item_id
        assert 200 < confirmed["audio_ms"] < 1000 * len(question) / RATE_HZ
        await talk.told.wait("input_audio_buffer.speech_started")
        done = (await talk.told.wait("response.done"))["response"]
        assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        started = talk.told.types().index("input_audio_buffer.speech_started")
        assert "response.output_audio.delta" not in talk.told.types()[started:]
        await until(lambda: chat.n_closed)
        talk.session.handle(say.TruncateItem(item_id=item_id, content_index=0, audio_end_ms=300))
        assert talk.told.of("conversation.item.truncated")[0]["audio_end_ms"] == 300
        heard = talk.session._conversation.get(item_id).told()
        assert heard
        assert STORY.startswith(heard)
        assert len(heard.split()) < 12
        talk.session.handle(say.RetrieveItem(item_id=item_id))
        retrieved = talk.told.of("conversation.item.retrieved")[0]["item"]
        assert retrieved["content"][0]["transcript"] == heard


async def test_mhmm_does_not_interrupt(question: np.ndarray[Any, Any]) -> None:
    chat = FakeChat(STORY, endless=True, pause_s=0.001)
    async with talking(clients(chat, ScriptedStt("Mhmm."))) as talk:
        talk.update(raydio={"barge_in": {"echo_guard": False}})
        item_id = await spoken(talk)
        talk.session.handle(say.PlaybackReport(item_id=item_id, played_ms=0, playing=True))
        await talk.hear(question[: int(0.9 * RATE_HZ)], yields=20)
        await talk.silence(1.0)
        dismissed = await talk.told.wait("raydio.barge_in.dismissed")
        assert "raydio.barge_in.suspected" in talk.told.types()
        assert dismissed["item_id"] == item_id
        assert dismissed["reason"] in {"backchannel", "noise"}
        assert "input_audio_buffer.speech_started" not in talk.told.types()
        assert "response.done" not in talk.told.types()


async def test_interruptions_can_be_switched_off(question: np.ndarray[Any, Any]) -> None:
    chat = FakeChat(STORY, endless=True, pause_s=0.001)
    async with talking(clients(chat)) as talk:
        talk.update(raydio={"barge_in": {"mode": "off"}})
        await spoken(talk)
        await talk.hear(question)
        await talk.silence(0.5)
        assert "input_audio_buffer.speech_started" not in talk.told.types()
        assert "response.done" not in talk.told.types()


async def test_the_client_can_silence_the_answer() -> None:
    chat = FakeChat(STORY, endless=True, pause_s=0.001)
    async with talking(clients(chat)) as talk:
        await spoken(talk)
        talk.session.handle(say.ClearOutput())
        cleared = talk.told.of("output_audio_buffer.cleared")[0]
        assert cleared["response_id"] == talk.told.of("response.created")[0]["response"]["id"]
        assert talk.told.of("response.done")[0]["response"]["status"] == "cancelled"


async def test_only_spoken_answers_can_be_truncated_and_only_where_they_have_sound() -> None:
    async with talking() as talk:
        talk.write("Hello")
        written = talk.told.of("conversation.item.added")[0]["item"]["id"]
        with pytest.raises(InputError, match="not a spoken answer"):
            talk.session.handle(say.TruncateItem(item_id=written, content_index=0, audio_end_ms=0))
        talk.ask()
        answer = (await talk.told.wait("response.done"))["response"]["output"][0]["id"]
        with pytest.raises(InputError, match="ms long"):
            talk.session.handle(say.TruncateItem(item_id=answer, content_index=0, audio_end_ms=10**6))
        talk.session.handle(say.TruncateItem(item_id=answer, content_index=0, audio_end_ms=0))
        assert talk.session._conversation.get(answer).told() == ""


# ---- the end ------------------------------------------------------------------------------------


async def test_closing_stops_everything(question: np.ndarray[Any, Any]) -> None:
    chat = FakeChat(STORY, endless=True, pause_s=0.001)
    before = asyncio.all_tasks()
    async with talking(clients(chat)) as talk:
        await spoken(talk)
        await talk.hear(question)
    assert chat.n_closed == len(chat.requests)
    assert asyncio.all_tasks() == before


async def test_too_many_responses_are_refused() -> None:
    async with talking() as talk:
        talk.write("Hello")
        for n in range(60):
            talk.ask(in_conversation=False)
            await talk.told.wait("response.done", n + 1)
        assert talk.told.of("rate_limits.updated")[-1]["rate_limits"][0]["remaining"] == 0
        with pytest.raises(InputError, match="within a minute"):
            talk.ask()


def test_settings_of_a_session_are_the_protocols() -> None:
    assert Settings().model_dump()["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
