"""How much a client may send, so that no session can harm another."""

from __future__ import annotations

import asyncio

from serve_apps.args import RealtimeArgs
from serve_apps.errors import EventTooLarge, TooFast

EVENT_BURST_S = 10.0
"""Seconds' worth of events that may come at once: a recording cut into small pieces is sent in one go."""
_MINUTE_S = 60.0


class Bucket:
    """What may come at once, and how fast as much may come again.

    Args:
        per_s: how fast it fills.
        burst: how much it holds; it starts full.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._level = burst
        self._at = _now_s()

    def take(self, amount: float = 1.0) -> bool:
        """Take that much out; False, and nothing is taken, when there is not enough."""
        now = _now_s()
        self._level = min(self._burst, self._level + (now - self._at) * self._per_s)
        self._at = now
        if amount > self._level:
            return False
        self._level -= amount
        return True


class Limits:
    """The limits of one connection. What is refused was not done; the client is told, event by event."""

    def __init__(self, args: RealtimeArgs) -> None:
        self._args = args
        self._events = Bucket(args.max_events_per_s, args.max_events_per_s * EVENT_BURST_S)
        self._audio = Bucket(args.max_audio_speed, args.audio_burst_s)
        self._bad_events = Bucket(args.max_bad_events / _MINUTE_S, args.max_bad_events)

    def admit(self, message: str) -> None:
        """Let an event in.

        Raises:
            EventTooLarge: it is over the limit.
            TooFast: too many came before it.
        """
        if not self._events.take():
            raise TooFast("Events come too fast.", f"Send at most {self._args.max_events_per_s:g} a second.")
        # Characters first: counting the bytes of a huge message would copy it.
        limit = self._args.max_event_bytes
        if len(message) > limit or (not message.isascii() and len(message.encode()) > limit):
            raise EventTooLarge(
                f"The event is larger than {limit >> 10} KiB.", "Send audio in pieces of a second or less."
            )

    def admit_audio(self, duration_s: float) -> None:
        """Let audio in.

        Raises:
            TooFast: it comes much faster than anybody speaks.
        """
        if not self._audio.take(duration_s):
            raise TooFast(
                "Audio comes too fast.",
                f"Send at most {self._args.max_audio_speed:g} seconds of it a second.",
                "audio",
            )

    def tolerate(self) -> bool:
        """Count a refused event; False when there were too many of them."""
        return self._bad_events.take()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
