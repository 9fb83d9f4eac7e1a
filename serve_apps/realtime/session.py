"""A live conversation: what a client says in, what it is told out; turns, answers and their interruption.

A conductor: it holds clients and leads them, and knows nothing of sockets. Everything happens on the
event loop; `handle` never waits, so that a cancel is never behind anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from serve_apps.access import OWNER
from serve_apps.contracts import Clients
from serve_apps.errors import InputError, RaydioError, StageFailed
from serve_apps.realtime import client_events as said
from serve_apps.realtime import config
from serve_apps.realtime import server_events as tell
from serve_apps.realtime.answer import Answer
from serve_apps.realtime.answering import Answering
from serve_apps.realtime.conversation import Conversation, Item, new_id
from serve_apps.realtime.formats import from_bytes
from serve_apps.realtime.host import UserTurn
from serve_apps.realtime.microphone import Microphone
from serve_apps.realtime.playback import Playback
from serve_apps.realtime.response import Moments, Outlet
from serve_apps.realtime.speculation import Speculation
from serve_apps.realtime.understanding import put_into_words, understood
from serve_apps.wire import (
    Samples,
)

log = logging.getLogger(__name__)


class Session:
    """One conversation.

    Args:
        clients: stt, chat and voice are called.
        outbox: what the client is told goes there.
        resume_s: how long a lost socket may come back; told to the client.
        user: who talks.
    """

    def __init__(
        self, clients: Clients, outbox: Outlet, *, resume_s: float = 30.0, user: str = OWNER
    ) -> None:
        self.id = new_id("sess")
        self.settings = config.Session()
        self._clients = clients
        self._outbox = outbox
        self._resume_s = resume_s
        self._conversation = Conversation()
        self._microphone = Microphone(self, self.settings.audio.input)
        self._understanding: set[asyncio.Task[None]] = set()
        self._moments: Moments | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.user = user
        self._answers = Answering(clients, self._conversation, outbox, self.spawn, self.id, user=user)

    # ---- as the door sees it ---------------------------------------------------------------------

    def start(self) -> None:
        """Say what this session is."""
        self.emit(tell.session("session.created", self.id, self.settings, self._answers.instructions))
        self.attach(resumed=False)

    def attach(self, *, resumed: bool) -> None:
        """A socket is there; after a break it is another one."""
        about = {"session_id": self.id, "resumed": resumed, "resume_s": self._resume_s}
        self.emit({"type": "raydio.session", **about})

    def handle(self, event: said.ClientEvent) -> None:  # noqa: C901 (one case an event, one line each)
        """Do what the client says.

        Raises:
            RaydioError: it cannot be done; nothing has changed.
        """
        match event:
            case said.AppendAudio(data=data):
                self._microphone.append(data)
            case said.UpdateSession(session=settings):
                self._update(settings)
            case said.CommitAudio():
                self._commit()
            case said.ClearAudio():
                self._clear()
            case said.CreateItem():
                self._create_item(event)
            case said.RetrieveItem(item_id=item_id):
                found = self._conversation.get(item_id)
                self.emit(tell.item_retrieved(found, self.settings.audio.input.format))
            case said.DeleteItem(item_id=item_id):
                self._conversation.remove(item_id)
                self.emit(tell.item_deleted(item_id))
            case said.TruncateItem():
                self._truncate(event)
            case said.CreateResponse(options=options):
                self._asked_to_respond(options)
            case said.CancelResponse(response_id=response_id):
                self._answers.cancel(response_id)
            case said.ClearOutput():
                self._answers.clear_output()
            case said.PlaybackReport(item_id=item_id, played_ms=played_ms, playing=playing):
                self._answers.report(item_id, played_ms / 1000, playing=playing)

    async def close(self) -> None:
        """End every task and every model's work."""
        self._microphone.clear()
        self._answers.interrupt()
        tasks = [*self._tasks]
        # What was just told to stop may do so; whatever still works is stopped.
        await asyncio.wait(tasks, timeout=1.0) if tasks else None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait([*self._tasks])

    # ---- as listening sees it --------------------------------------------------------------------

    def emit(self, event: dict[str, Any]) -> None:
        """Tell the client."""
        self._outbox.emit(event)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it until the session ends; the client hears of its failure."""
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def answering(self) -> bool:
        """Whether an answer is being made or can be heard."""
        return self._answers.active

    @property
    def sounding(self) -> Playback | None:
        """The answer that can be heard now."""
        return self._answers.sounding

    @property
    def sounding_id(self) -> str | None:
        """The newest spoken answer's item."""
        return self._answers.sounding_id

    async def understand(self, heard: Samples, skip_s: float = 0.0) -> str:
        """Transcribe speech at 16 kHz; what was said in its first `skip_s` is known already."""
        return await understood(self._clients.stt, heard, self.settings.audio.input.transcription, skip_s)

    def think(self, text: str) -> Answer:
        """Begin the answer to what the user seems to have said."""
        return self._answers.think(self.settings, text)

    def interrupt(self) -> None:
        """The user speaks: stop the answer; the words that were played stay."""
        self._answers.interrupt()

    def turn_ended(self, turn: UserTurn) -> None:
        """The user has finished: their words become an item, and an answer follows."""
        speculation = turn.speculation
        if speculation is None or turn.audio is None:
            return
        self.emit(tell.speech_stopped(turn.item_id, round(1000 * turn.end_s)))
        moments = Moments(turn.speech_ended_at, _now_s(), user_item_id=turn.item_id)
        item = Item(id=turn.item_id, role="user", kind="audio", audio=turn.audio)
        self._add_speech(item, speculation, moments, respond=turn.respond)

    # ---- hearing ---------------------------------------------------------------------------------

    def _update(self, settings: config.Session) -> None:
        self.settings = settings
        self._microphone.configure(settings.audio.input)
        self.emit(tell.session("session.updated", self.id, settings, self._answers.instructions))

    def _clear(self) -> None:
        self._microphone.clear()
        self.emit({"type": "input_audio_buffer.cleared"})

    def _commit(self) -> None:
        heard = self._microphone.commit()
        if heard is not None:
            item = Item(role="user", kind="audio", audio=heard)
            moments = Moments(_now_s(), _now_s(), user_item_id=item.id)
            self._add_speech(item, Speculation(lambda: self.understand(heard), None), moments, respond=False)

    def _add_speech(self, item: Item, speculation: Speculation, moments: Moments, *, respond: bool) -> None:
        previous = self._conversation.insert(item)
        self.emit(tell.committed(item.id, previous))
        self._tell_item(item, previous)
        self._moments = moments
        self._await_words(item, speculation, moments, respond=respond)

    def _await_words(self, item: Item, speculation: Speculation, moments: Moments, *, respond: bool) -> None:
        def words_came(answer: Answer | None) -> None:
            if respond and item.text:
                self._answers.respond(said.ResponseOptions(session=self.settings), moments, answer)
            elif answer is not None:
                self.spawn(answer.drop())

        told = self.settings.audio.input.transcription is not None
        words = put_into_words(item, speculation, moments, self.emit, words_came, told=told)
        task = self.spawn(words)
        self._understanding.add(task)
        task.add_done_callback(self._understanding.discard)

    def _tell_item(self, item: Item, previous_item_id: str | None) -> None:
        self.emit(tell.item_added(item, previous_item_id))
        self.emit(tell.item_done(item, previous_item_id))

    # ---- items -----------------------------------------------------------------------------------

    def _create_item(self, event: said.CreateItem) -> None:
        new = event.item
        heard = from_bytes(new.audio, self.settings.audio.input.format) if new.audio else None
        item = Item(id=new.id or new_id("item"), role=new.role, kind="text", text=new.text)
        if heard is not None:
            item.kind, item.text, item.audio = "audio", None, heard
        previous = self._conversation.insert(item, event.previous_item_id)
        self._tell_item(item, previous)
        if heard is not None:
            moments = self._moments = Moments(_now_s(), _now_s(), user_item_id=item.id)
            words = Speculation(lambda: self.understand(heard), None)
            self._await_words(item, words, moments, respond=False)

    def _truncate(self, event: said.TruncateItem) -> None:
        item = self._conversation.get(event.item_id)
        if item.playback is None or event.content_index != 0:
            raise InputError(f"Item {item.id!r} is not a spoken answer.", "Only those can be truncated.")
        sent_ms = 1000 * item.playback.sent_s
        if not 0 <= event.audio_end_ms <= sent_ms + 1:
            raise InputError(
                f"The answer's audio is {sent_ms:.0f} ms long, and audio_end_ms is {event.audio_end_ms}.",
                "Send how much of it was played.",
            )
        item.playback.stop(event.audio_end_ms / 1000)
        self.emit(tell.item_truncated(item.id, event.audio_end_ms))

    # ---- answering -------------------------------------------------------------------------------

    def _asked_to_respond(self, options: said.ResponseOptions) -> None:
        self._answers.check_free()
        moments, self._moments = self._moments, None
        if moments is None or options.input is not None:
            moments = Moments(_now_s(), _now_s())
        if self._understanding:
            self.spawn(self._respond_when_understood(options, moments))
        else:
            self._answers.respond(options, moments)

    async def _respond_when_understood(self, options: said.ResponseOptions, moments: Moments) -> None:
        await asyncio.wait([*self._understanding])
        self._answers.respond(options, moments)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RaydioError as error:
            self.emit(tell.error(error))
        # A bug of ours must not leave the user before a silent page.
        except Exception:
            log.exception("A live session's work failed")
            self.emit(tell.error(StageFailed("voice", "Something in this session failed.", "Try again.")))


def _now_s() -> float:
    return asyncio.get_running_loop().time()
