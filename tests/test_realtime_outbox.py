"""What waits to be sent, what is kept for a client that comes back, and how fast clients may send."""

from __future__ import annotations

import asyncio
import json

import pytest

from serve_apps.args import RealtimeArgs
from serve_apps.errors import EventTooLarge, TooFast, UnknownName
from serve_apps.realtime.limits import Bucket, Limits
from serve_apps.realtime.outbox import KEPT_BYTES, MAX_WAITING_BYTES, ROOM_BYTES, Outbox

KILOBYTE = "x" * 1024


async def taken(outbox: Outbox, n: int) -> list[str]:
    return [json.loads(await outbox.take() or "null")["event_id"] for _ in range(n)]


def ids(first: int, last: int) -> list[str]:
    return [f"event_{n}" for n in range(first, last + 1)]


async def test_events_are_numbered_and_wait_their_turn() -> None:
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.emit({"type": "a", "text": "é"})
    assert json.loads(await waiting or "") == {"event_id": "event_1", "type": "a", "text": "é"}


async def test_a_client_that_comes_back_gets_what_it_missed() -> None:
    outbox = Outbox()
    for n in range(10):
        outbox.emit({"n": n})
    assert await taken(outbox, 6) == ids(1, 6)
    outbox.rewind("event_3")
    assert await taken(outbox, 7) == ids(4, 10)
    outbox.rewind("event_10")
    outbox.emit({"n": 10})
    assert await taken(outbox, 1) == ids(11, 11)


async def test_what_was_seen_but_not_known_to_be_sent_is_not_sent_again() -> None:
    outbox = Outbox()
    for n in range(4):
        outbox.emit({"n": n})
    outbox.rewind("event_2")
    assert await taken(outbox, 2) == ids(3, 4)


@pytest.mark.parametrize("after", ["event_5", "event_-1", "event_", "", "evil", "event_" + "9" * 50])
async def test_nobody_comes_back_from_an_event_that_never_was(after: str) -> None:
    outbox = Outbox()
    outbox.emit({})
    with pytest.raises(UnknownName):
        outbox.rewind(after)


async def test_sent_events_are_kept_up_to_a_size() -> None:
    outbox = Outbox()
    n_events = 2 * KEPT_BYTES // 1024
    for _ in range(n_events):
        outbox.emit({"text": KILOBYTE})
        await outbox.take()
    outbox.rewind(f"event_{n_events - 1000}")
    assert await taken(outbox, 1000) == ids(n_events - 999, n_events)
    with pytest.raises(UnknownName, match="not kept"):
        outbox.rewind("event_1")


async def test_whoever_can_wait_waits_for_room() -> None:
    outbox = Outbox()
    await asyncio.wait_for(outbox.room(), 1)
    for _ in range(ROOM_BYTES // 1024 + 1):
        outbox.emit({"text": KILOBYTE})
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    for _ in range(100):
        await outbox.take()
    await asyncio.wait_for(waiting, 1)


async def test_a_session_that_tells_more_than_can_wait_is_over() -> None:
    outbox = Outbox()
    for _ in range(MAX_WAITING_BYTES // 2**20 + 10):
        outbox.emit({"text": KILOBYTE * 1024})
    assert outbox.overflowed
    assert await outbox.take() is None
    await asyncio.wait_for(outbox.room(), 1)  # nobody waits for a client that is gone


async def test_a_bucket_gives_its_burst_and_then_what_flows_in() -> None:
    bucket = Bucket(per_s=1000.0, burst=5)
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]
    until = asyncio.get_running_loop().time() + 0.01
    while asyncio.get_running_loop().time() < until:
        pass
    assert bucket.take(3)
    assert not bucket.take(5.5)


async def test_limits_name_what_is_too_much() -> None:
    limits = Limits(RealtimeArgs(max_event_bytes=1024, max_events_per_s=0.3, audio_burst_s=10))
    limits.admit("x" * 1024)
    with pytest.raises(EventTooLarge, match="1 KiB"):
        limits.admit("é" * 600)
    limits.admit("")
    with pytest.raises(TooFast, match="Events"):
        limits.admit("")
    limits.admit_audio(9)
    with pytest.raises(TooFast, match="Audio"):
        limits.admit_audio(2)


async def test_patience_with_bad_events_ends() -> None:
    limits = Limits(RealtimeArgs(max_bad_events=3))
    assert [limits.tolerate() for _ in range(4)] == [True, True, True, False]
