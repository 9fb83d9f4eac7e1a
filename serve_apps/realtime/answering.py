"""The answers of a session: one at a time, cut off where the user cuts them off."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from serve_apps.access import OWNER
from serve_apps.contracts import Clients
from serve_apps.errors import EmptyInput, InputError
from serve_apps.realtime import config
from serve_apps.realtime import server_events as tell
from serve_apps.realtime.answer import Answer
from serve_apps.realtime.client_events import ResponseOptions
from serve_apps.realtime.conversation import Conversation, Item, as_messages
from serve_apps.realtime.playback import Playback
from serve_apps.realtime.response import Moments, Outlet, Response
from serve_apps.turns import prompt
from serve_apps.wire import Message, TurnRequest, VoiceTurnRequest
from serve_apps.wire_knowledge import Retrieval

RESPONSES_A_MINUTE = 60
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Answering:
    """Asks the conductors, tells their answers, and stops them.

    Args:
        clients: `chat` answers in text, `voice` in sound.
        user: whose documents may be read.
        conversation: what is answered, and where answers go.
        outbox: what the client is told goes there.
        spawn: runs work until the session ends.
        caller: whose turn it is in the models' queues.
    """

    def __init__(
        self,
        clients: Clients,
        conversation: Conversation,
        outbox: Outlet,
        spawn: Spawn,
        caller: str,
        *,
        user: str = OWNER,
    ) -> None:
        self.instructions = prompt("voice")
        self._clients = clients
        self._conversation = conversation
        self._outbox = outbox
        self._spawn = spawn
        self._caller = caller
        self._user = user
        self._response: Response | None = None
        self._spoken: Item | None = None
        self._asked_at: deque[float] = deque()

    @property
    def active(self) -> bool:
        """Whether an answer is being made or can be heard."""
        return self._response is not None or self.sounding is not None

    @property
    def sounding(self) -> Playback | None:
        """The answer that can be heard now."""
        playback = self._playback()
        return playback if playback is not None and playback.audible else None

    @property
    def sounding_id(self) -> str | None:
        """The newest spoken answer's item."""
        return self._spoken.id if self._spoken is not None else None

    # ---- asking ----------------------------------------------------------------------------------

    def think(self, settings: config.Session, text: str) -> Answer:
        """Begin the answer to what the user seems to have said, and tell nobody."""
        said_now = Item(role="user", kind="audio", text=text)
        return self._ask(settings, as_messages([*self._conversation, said_now]))

    def check_free(self) -> None:
        """A client asks for a response.

        Raises:
            InputError: one is under way, or there were too many.
        """
        if self._response is not None:
            raise InputError(
                f"Response {self._response.id} is still under way.", "Cancel it, or wait for response.done."
            )
        self._forget_old_requests()
        if len(self._asked_at) >= RESPONSES_A_MINUTE:
            wait_s = 60 - (_now_s() - self._asked_at[0])
            raise InputError(
                f"This session has asked for {RESPONSES_A_MINUTE} responses within a minute.",
                f"Wait {wait_s:.0f} s.",
            )

    def respond(self, options: ResponseOptions, moments: Moments, answer: Answer | None = None) -> None:
        """Begin a response, with an answer that is under way already if it is to the same question.

        Raises:
            EmptyInput: there is nothing to answer.
            UnknownName: `options.input` names an item that does not exist.
        """
        self.interrupt()  # of an answer that the user was not allowed to interrupt, the rest is unsaid
        messages = self._messages(options)
        if answer is not None and answer.messages != messages:
            self._spawn(answer.drop())
            answer = None
        if answer is None:
            answer = self._ask(options.session, messages)
        response = self._response = self._new_response(options, moments)
        response.begin(self._limits())
        self._spawn(response.run(answer))

    def _new_response(self, options: ResponseOptions, moments: Moments) -> Response:
        spoken = "audio" in options.session.output_modalities
        item = Item(role="assistant", kind="audio" if spoken else "text", status="in_progress")
        if spoken:
            item.playback = Playback(
                keep_reference=options.session.raydio.barge_in.echo_guard,
                speed=options.session.audio.output.speed,
            )
            self._spoken = item
        kept = options.in_conversation
        return Response(
            outbox=self._outbox,
            options=options,
            item=item,
            previous_item_id=self._conversation.insert(item) if kept else None,
            conversation_id=self._conversation.id if kept else None,
            moments=moments,
            on_end=self._ended,
        )

    def _ended(self, response: Response) -> None:
        if self._response is response:
            self._response = None

    def _messages(self, options: ResponseOptions) -> tuple[Message, ...]:
        if options.input is None:
            return self._conversation.messages()
        items = [
            self._conversation.get(part)
            if isinstance(part, str)
            else Item(role=part.role, kind="text", text=part.text)
            for part in options.input
        ]
        return as_messages(items)

    def _ask(self, settings: config.Session, messages: tuple[Message, ...]) -> Answer:
        if not messages or messages[-1].role == "assistant":
            raise EmptyInput("There is nothing to answer.", "Say or write something first.")
        spoken = "audio" in settings.output_modalities
        limit = settings.max_output_tokens
        default = config.MAX_SPOKEN_TOKENS if spoken else None
        turn = TurnRequest(
            messages=messages,
            system_prompt=settings.instructions or self.instructions,
            max_tokens=default if limit == "inf" else limit,
            temperature=settings.raydio.temperature,
            caller=self._caller,
            user=self._user,
            retrieval=_retrieval(settings.raydio.knowledge),
        )
        if not spoken:
            return Answer(self._clients.chat.stream_turn(turn), "chat", messages)
        out = settings.audio.output
        request = VoiceTurnRequest(audio=None, turn=turn, voice=out.voice, speed=out.speed)
        return Answer(self._clients.voice.stream_turn(request), "voice", messages)

    # ---- stopping --------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """The user speaks: stop the answer; the words that were played stay."""
        playback = self._playback()
        if playback is not None and (playback.audible or self._response is not None):
            playback.stop()
        self._stop("turn_detected")

    def cancel(self, response_id: str | None) -> None:
        """The client wants no more of it; what was sent may still be played.

        Raises:
            InputError: it is not under way.
        """
        response = self._response
        if response is None or response_id not in (None, response.id):
            raise InputError("That response is not under way.", "It has ended, or was never begun.")
        self._stop("client_cancelled")

    def clear_output(self) -> None:
        """The client wants silence: what was not played is never said."""
        response_id = self._response.id if self._response is not None else ""
        if (playback := self._playback()) is not None:
            playback.stop()
        self._stop("client_cancelled")
        self._outbox.emit({"type": "output_audio_buffer.cleared", "response_id": response_id})

    def report(self, item_id: str, played_s: float, *, playing: bool) -> None:
        """The client says how much of an answer it has played."""
        playback = self._playback()
        if playback is not None and self.sounding_id == item_id:
            playback.report(played_s, playing=playing)

    def _playback(self) -> Playback | None:
        return self._spoken.playback if self._spoken is not None else None

    def _stop(self, reason: Literal["turn_detected", "client_cancelled"]) -> None:
        if (response := self._response) is not None:
            response.cancel(reason)
            self._spawn(response.drop())

    # ---- limits ----------------------------------------------------------------------------------

    def _limits(self) -> dict[str, Any]:
        self._asked_at.append(_now_s())
        self._forget_old_requests()
        left = max(0, RESPONSES_A_MINUTE - len(self._asked_at))
        return tell.rate_limits(RESPONSES_A_MINUTE, left, 60 - (_now_s() - self._asked_at[0]))

    def _forget_old_requests(self) -> None:
        while self._asked_at and _now_s() - self._asked_at[0] > 60:  # noqa: PLR2004 (a minute)
            self._asked_at.popleft()


def _retrieval(knowledge: config.Knowledge) -> Retrieval | None:
    if knowledge.mode == "no_documents":
        return None
    return Retrieval(mode=knowledge.mode, collections=knowledge.collections)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
