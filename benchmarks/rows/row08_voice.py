"""Row 8: a spoken conversation over /v1/realtime, with a microphone that plays recorded speech in real time.

On engines that cost nothing:
Hands free: from the last sample of speech to the first of the answer at the client, 500 ms of end-of-turn
silence included; promise: at most 40 ms more than the silence. The transcript and the answer are made during
the silence. Peer: Pipecat on the same engines, the same silence.
Push to talk: from letting go of the button to the first sample; nothing can be made ahead, so this is what
leading stt, llm and tts costs. Promise: at most 40 ms.
Interrupting: from the sound that makes it clear that it is no cough, echo or "mhmm" until the client is
silent; promise: 150 ms, 95 times of 100. Also from the first sample of the user's words until the client
turns the answer down and until it is silent ("wait" is clear after 200 ms, other words after 600), and how
much longer the model works.
Twenty sessions with an open microphone in a quiet room: processor time of the front's replica and the
proxies, without what they use when nobody is there. Promise: under 5 % of one core.
Eight people at once, two turns each: promise: not one with a lost or late piece of sound, either way.

On real engines:
Hands free, silence taken off, and push to talk. Floor: the same engines called in turn in one process, as far
as the first sample. Promise: hands free at most 1.0 times the floor.
A long answer's first sample, spoken clause by clause. Floor: the same engines, the answer spoken when it is
written. Promise: at least 4 times sooner.
Units: ms, % of one core, turns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import soundfile

from benchmarks import voice_turns
from benchmarks.barge_in import BEGINNINGS, Interrupted, interruptions
from benchmarks.bench import MOCK_VOICE, REAL, Bench
from benchmarks.engine_process import EngineProcess, engine_process
from benchmarks.microphone import Speech, speech
from benchmarks.result import Gate, Measure, RowResult, counted, measured
from benchmarks.rules import Sampler, percentile
from benchmarks.systems import CannotRun, Product
from benchmarks.voice_crowd import idle_percent, turns_at_once
from benchmarks.voice_turns import SILENCE_MS
from serve_apps.wire import STT_RATE_HZ

ROW = 8
TITLE = "Voice: a conversation over /v1/realtime"
N_TOKENS = 7
"""Of the mock's answers: one sentence."""
N_TURNS, N_PUSHES = 1, 10
N_REAL = 1
N_INTERRUPTIONS = 10
"""Of each kind."""
N_IDLE, IDLE_S = 20, 20.0
N_TALKING, N_TURNS_EACH = 8, 2


def run(bench: Bench) -> RowResult:
    """Take the measures of the engines asked for."""
    words = speech("beckett", 0.2, 1.35)
    measures: list[Measure] = []
    if "mock" in bench.engines:
        measures += _mock(bench, words)
    if "real" in bench.engines:
        measures += _real(bench, words)
    return RowResult(row=ROW, title=TITLE, measures=tuple(measures))


# ---- engines that cost nothing -------------------------------------------------------------------


def _mock(bench: Bench, words: Speech) -> list[Measure]:
    product = bench.product(MOCK_VOICE)
    voice_turns.hands_free_ms(product.target, words, 1, N_TOKENS)
    return [
        _hands_free(bench, product, words),
        _pushed(bench, product, words),
        *_interrupting(bench, product, words),
        *_idle(bench, product),
        *_talking(bench, product, words),
    ]


def _hands_free(bench: Bench, product: Product, words: Speech) -> Measure:
    def ours() -> list[float]:
        return voice_turns.hands_free_ms(product.target, words, N_TURNS, N_TOKENS)

    samplers: dict[str, Sampler] = {"raydio": ours}
    skipped: dict[str, str] = {}
    with bench.pipecat(SILENCE_MS) as peer:
        if isinstance(peer, CannotRun):
            skipped["pipecat"] = str(peer)
        else:
            voice_turns.pipecat_ms(peer, words, 1)
            samplers["pipecat"] = lambda: voice_turns.pipecat_ms(str(peer), words, N_TURNS)
        rounds = bench.alternating(samplers)
    added = rounds.spread("raydio").median - SILENCE_MS
    gate = Gate(text=f"≤ {SILENCE_MS} ms of silence + 40 ms", value=added, limit=40)
    name = f"mock engines, hands free, {SILENCE_MS} ms of silence included"
    return measured(name, "ms", "lower", rounds, skipped=skipped, gates=(gate,))


def _pushed(bench: Bench, product: Product, words: Speech) -> Measure:
    n_pushes = bench.samples(N_PUSHES)

    def ours() -> list[float]:
        return voice_turns.pushed_ms(product.target, words, n_pushes, N_TOKENS)

    rounds = bench.alternating({"raydio": ours})
    gate = Gate(text="≤ 40 ms", value=rounds.spread("raydio").median, limit=40)
    return measured("mock engines, push to talk", "ms", "lower", rounds, gates=(gate,))


def _interrupting(bench: Bench, product: Product, words: Speech) -> list[Measure]:
    def measure(name: str, values: list[float], *gates: Gate) -> Measure:
        return counted(f"interrupting, {name}", "ms", "lower", systems={"raydio": values}, gates=gates)

    measures: list[Measure] = []
    every: list[Interrupted] = []
    for beginning, said in BEGINNINGS.items():
        taken = interruptions(product, words, beginning, bench.samples(N_INTERRUPTIONS))
        measures.append(measure(f"{said}, first sample to silence", [one.silent_ms for one in taken]))
        every += taken
    lags = [one.lag_ms for one in every]
    gate = Gate(text="p95 ≤ 150 ms", value=percentile(lags, 95), limit=150)
    clear = measure("clear to silence", lags, gate)
    turned_down = measure("first sample to the answer turned down", [one.suspected_ms for one in every])
    stopped = measure("silence to the model stopped", [one.stopped_ms for one in every])
    return [clear, turned_down, *measures, stopped]


def _idle(bench: Bench, product: Product) -> list[Measure]:
    seconds = IDLE_S / 5 if bench.quick else IDLE_S

    def measure(name: str, sessions: float, nobody: float, *gates: Gate) -> Measure:
        systems = {"nobody": [nobody], "raydio": [sessions]}
        title = f"{N_IDLE} idle sessions, {name}"
        return counted(title, "% of a core", "lower", systems=systems, gates=gates)

    nobody = idle_percent(product, 0, seconds / 3, microphone=False)
    connected = idle_percent(product, N_IDLE, seconds / 3, microphone=False)
    listening = idle_percent(product, N_IDLE, seconds, microphone=True)
    gate = Gate(text="adds < 5 %", value=listening - nobody, limit=5)
    return [
        measure("microphone open", listening, nobody, gate),
        measure("connected", connected, nobody),
    ]


def _talking(bench: Bench, product: Product, words: Speech) -> list[Measure]:
    n_each = 1 if bench.quick else N_TURNS_EACH
    turns = turns_at_once(product, words, N_TALKING, n_each)
    whole = sum(turn.whole for turn in turns)
    gate = Gate(text="all", value=whole, limit=len(turns), at_most=False)
    lags = [turn.voice_to_voice_ms for turn in turns]
    name = f"{N_TALKING} people at once, turns without a lost or late piece, of {len(turns)}"
    waited = f"{N_TALKING} people at once, hands free, {SILENCE_MS} ms of silence included"
    return [
        counted(name, "turns", "higher", systems={"raydio": [float(whole)]}, gates=(gate,)),
        counted(waited, "ms", "lower", systems={"raydio": lags}),
    ]


# ---- real engines --------------------------------------------------------------------------------


def _real(bench: Bench, words: Speech) -> list[Measure]:
    target = bench.product(REAL).target
    voice_turns.hands_free_ms(target, words, 1, None)

    def ours(what: str) -> list[float]:
        if what == "hands free":
            waited = voice_turns.hands_free_ms(target, words, N_REAL, None)
            return [lag_ms - SILENCE_MS for lag_ms in waited]
        if what == "push to talk":
            return voice_turns.pushed_ms(target, words, N_REAL, None)
        return voice_turns.long_answer_ms(target, N_REAL)

    with _engines(words) as engines:

        def clause() -> list[float]:
            return [engines.ask("clause") for _ in range(N_REAL)]

        turns = bench.rounds(
            ("engines", clause),
            {"raydio": lambda: ours("hands free"), "raydio pushed": lambda: ours("push to talk")},
        )
        whole = bench.alternating(
            {"spoken whole": lambda: [engines.ask("whole")], "raydio": lambda: ours("long answer")}
        )
    ratio = turns.ratio("raydio", "engines")
    hands_free = Gate(text="≤ 1.0 × the engines in turn", value=ratio, limit=1.0)
    sooner = 1 / whole.ratio("raydio", "spoken whole")
    long_answer = Gate(text="≥ 4 × sooner", value=sooner, limit=4, at_most=False)
    unit, name = "ms", f"real engines, hands free, after {SILENCE_MS} ms of silence"
    return [
        counted(name, unit, "lower", systems=_only(turns.values, "raydio"), gates=(hands_free,)),
        counted("real engines, push to talk", unit, "lower", systems=_only(turns.values, "raydio pushed")),
        measured("real engines, a long answer's first sound", unit, "lower", whole, gates=(long_answer,)),
    ]


def _only(values: Mapping[str, list[float]], ours: str) -> dict[str, list[float]]:
    return {"engines": values["engines"], "raydio": values[ours]}


@contextmanager
def _engines(words: Speech) -> Iterator[EngineProcess]:
    """The engines in a process of their own, loaded and warm."""
    with tempfile.TemporaryDirectory(prefix="raydio-bench-") as folder:
        question = Path(folder) / "question.wav"
        soundfile.write(question, words.in_room(voice_turns.LEAD_S), STT_RATE_HZ)
        with engine_process("benchmarks.servers.voice_engines", str(question)) as engines:
            yield engines
