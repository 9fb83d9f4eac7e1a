"""Row 2: how many tokens a second get through.

Measured: tokens of all streams over the time until the last of them ends.
Mock engine that never waits, eight streams: floor = bare uvicorn, product = Raydio's /v1, peer =
litellm.
Gate: at least twice the best peer.
Real engine, one and four streams: floor = the same engine class called in a process of its own, same
prompt, same threads; product = Raydio's /v1. Gate: at least 0.97 of the floor with one stream.
Unit: tokens a second.
"""

from __future__ import annotations

from benchmarks.bench import MOCK, REAL, Bench
from benchmarks.engine_process import EngineProcess, engine_process
from benchmarks.openai_client import tokens_per_s
from benchmarks.raw_http import Target
from benchmarks.result import Gate, Measure, RowResult, measured
from benchmarks.rules import Rounds, Sampler

ROW = 2
TITLE = "API: streaming rate"
N_STREAMS_MOCK, N_TOKENS_MOCK = 8, 2000
N_STREAMS_REAL, N_TOKENS_REAL = (1, 4), 128


def run(bench: Bench) -> RowResult:
    """Take the measures of the engines asked for."""
    measures: list[Measure] = []
    if "mock" in bench.engines:
        measures.append(_mock(bench))
    if "real" in bench.engines:
        measures += _real(bench)
    return RowResult(row=ROW, title=TITLE, measures=tuple(measures))


def _mock(bench: Bench) -> Measure:
    n_tokens = bench.samples(N_TOKENS_MOCK)

    def sampler(target: Target) -> Sampler:
        return lambda: [tokens_per_s(target, N_STREAMS_MOCK, n_tokens) for _ in range(3)]

    peers, skipped = bench.gateways()
    others = {"raydio": bench.product(MOCK).target, **peers}
    floor = ("direct", sampler(bench.direct()))
    rounds = bench.rounds(floor, {name: sampler(target) for name, target in others.items()})
    gates = _times_best_peer(rounds, list(peers))
    name = "mock engine without waits, 8 streams"
    return measured(name, "tokens/s", "higher", rounds, skipped=skipped, gates=gates)


def _times_best_peer(rounds: Rounds, peers: list[str]) -> tuple[Gate, ...]:
    if not peers:
        return ()
    ratio = min(rounds.ratio("raydio", peer) for peer in peers)
    return (Gate(text="≥ 2 × the best peer", value=ratio, limit=2, at_most=False),)


def _real(bench: Bench) -> list[Measure]:
    product = bench.product(REAL).target
    with engine_process("benchmarks.servers.engine_loop") as engine:
        engine.ask("1 16")  # warm
        return [_real_measure(bench, product, engine, n_streams) for n_streams in N_STREAMS_REAL]


def _real_measure(bench: Bench, product: Target, engine: EngineProcess, n_streams: int) -> Measure:
    def in_process() -> list[float]:
        return [engine.ask(f"{n_streams} {N_TOKENS_REAL}")]

    def through_product() -> list[float]:
        return [tokens_per_s(product, n_streams, N_TOKENS_REAL)]

    rounds = bench.rounds(("engine", in_process), {"raydio": through_product})
    ratio = rounds.ratio("raydio", "engine")
    gate = Gate(text="≥ 0.97 × the engine itself", value=ratio, limit=0.97, at_most=False)
    streams = "1 stream" if n_streams == 1 else f"{n_streams} streams"
    name = f"real engine, {streams}"
    return measured(name, "tokens/s", "higher", rounds, gates=(gate,) if n_streams == 1 else ())
