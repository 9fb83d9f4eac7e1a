"""Row 4: from Enter on the chat page to the first token.

Measured: the requests that a real Chromium sends between the press on Enter and the first token are
recorded once for each page, then sent again over raw connections, each set off by the same one as in the
browser, until the first token is on the wire. A new session each time.
Floor: Gradio's own ChatInterface on the mock engine, in one process.
Product: Raydio's chat page, with its check of the token and its way over the conductor to the llm
application.
Unit: ms. Gate: at most 1.5 times the floor.
"""

from __future__ import annotations

from benchmarks import chromium
from benchmarks.bench import MOCK, Bench
from benchmarks.chromium import Call
from benchmarks.gradio_queue import first_token_ms
from benchmarks.raw_http import Target
from benchmarks.result import Gate, RowResult, measured
from benchmarks.rules import Sampler

ROW = 4
TITLE = "Chat page: Enter to the first token on a mock engine"
N_SENDS = 30
MESSAGE = "Say something."


def run(bench: Bench) -> RowResult:
    """Record both pages, then replay them."""
    pages = {"plain Gradio": bench.plain_gradio(), "raydio": bench.product(MOCK).target.page("/ui/chat")}
    calls = _record(pages)
    n_sends = bench.samples(N_SENDS)

    def sampler(name: str) -> Sampler:
        return lambda: first_token_ms(pages[name], calls[name], n_sends)

    floor = ("plain Gradio", sampler("plain Gradio"))
    rounds = bench.rounds(floor, {"raydio": sampler("raydio")})
    ratio = rounds.ratio("raydio", "plain Gradio")
    gate = Gate(text="≤ 1.5 × plain Gradio", value=ratio, limit=1.5)
    measure = measured("replayed page, to the first token", "ms", "lower", rounds, gates=(gate,))
    return RowResult(row=ROW, title=TITLE, measures=(measure,))


def _record(pages: dict[str, Target]) -> dict[str, list[Call]]:
    with chromium.browser() as browser:
        return {name: chromium.calls_of_enter(browser, page, MESSAGE) for name, page in pages.items()}
