"""Row 5: the first look at the chat page.

Measured: in Chromium with an empty cache, from the start of the navigation until the text box can be
seen, and the bytes that came over the wire.
Floor: Gradio's own ChatInterface, no checks. Product: Raydio's chat page, signed in.
Units: ms, KB. Gate: visible in at most 1.2 times the floor's time.
"""

from __future__ import annotations

from playwright.sync_api import Browser

from benchmarks import chromium
from benchmarks.bench import MOCK, Bench
from benchmarks.chromium import FirstPage
from benchmarks.raw_http import Target
from benchmarks.result import Gate, RowResult, counted, measured
from benchmarks.rules import Sampler

ROW = 5
TITLE = "Chat page: first load, nothing cached"
N_LOADS = 3


def run(bench: Bench) -> RowResult:
    """Load both pages."""
    pages = {"plain Gradio": bench.plain_gradio(), "raydio": bench.product(MOCK).target.page("/ui/chat")}
    loads: dict[str, list[FirstPage]] = {name: [] for name in pages}
    with chromium.browser() as browser:
        for page in pages.values():
            chromium.first_page(browser, page)

        def sampler(name: str) -> Sampler:
            return lambda: _load(browser, pages[name], loads[name])

        floor = ("plain Gradio", sampler("plain Gradio"))
        rounds = bench.rounds(floor, {"raydio": sampler("raydio")})
    ratio = rounds.ratio("raydio", "plain Gradio")
    gate = Gate(text="≤ 1.2 × plain Gradio", value=ratio, limit=1.2)
    visible = measured("until the text box can be seen", "ms", "lower", rounds, gates=(gate,))
    sizes = {name: [load.wire_kb for load in taken] for name, taken in loads.items()}
    wire = counted("over the wire", "KB", "lower", systems=sizes)
    return RowResult(row=ROW, title=TITLE, measures=(visible, wire))


def _load(browser: Browser, page: Target, taken: list[FirstPage]) -> list[float]:
    new = [chromium.first_page(browser, page) for _ in range(N_LOADS)]
    taken += new
    return [load.visible_ms for load in new]
