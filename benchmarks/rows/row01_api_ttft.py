"""Row 1: what the /v1 door adds before the first token.

Measured: time from sending a chat completion to the first text (streaming), and to the end of the answer
(not streamed), 16 tokens, one request after the other on a kept connection.
Floor: the mock engine behind bare uvicorn. Product: Raydio's /v1 on the same engine, all checks on.
Peer: litellm's proxy in front of the floor. Unit: ms.
Gate: Raydio minus floor at most 5 ms when streaming, and at most a third of what the best peer adds.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bench import MOCK, Bench
from benchmarks.openai_client import first_text_ms, whole_ms
from benchmarks.raw_http import Target
from benchmarks.result import Gate, Measure, RowResult, measured
from benchmarks.rules import Rounds, Sampler

ROW = 1
TITLE = "API: time to the first token on a mock engine"
N_REQUESTS = 60

Timer = Callable[[Target, int], list[float]]


def run(bench: Bench) -> RowResult:
    """Take both measures."""
    streaming = _measure(bench, "streaming, to the first text", first_text_ms)
    whole = _measure(bench, "not streamed, 16 tokens", whole_ms)
    return RowResult(row=ROW, title=TITLE, measures=(streaming, whole))


def _measure(bench: Bench, name: str, timer: Timer) -> Measure:
    n_requests = bench.samples(N_REQUESTS)

    def sampler(target: Target) -> Sampler:
        return lambda: timer(target, n_requests)

    peers, skipped = bench.gateways()
    others = {"raydio": bench.product(MOCK).target, **peers}
    floor = ("direct", sampler(bench.direct()))
    rounds = bench.rounds(floor, {name: sampler(target) for name, target in others.items()})
    gates = _gates(rounds, list(peers)) if timer is first_text_ms else ()
    return measured(name, "ms", "lower", rounds, skipped=skipped, gates=gates)


def _gates(rounds: Rounds, peers: list[str]) -> tuple[Gate, ...]:
    added = rounds.added("raydio", "direct")
    gates = [Gate(text="added ≤ 5 ms", value=added, limit=5)]
    if peers:
        best = min(rounds.added(peer, "direct") for peer in peers)
        gates.append(Gate(text="added / best peer's ≤ 1/3", value=added / best, limit=1 / 3))
    return tuple(gates)
