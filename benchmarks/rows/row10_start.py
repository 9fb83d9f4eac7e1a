"""Row 10: from the command to all applications ready, and the memory they then hold.

Measured: `raydio up --detach` from its start to its end (all applications healthy), and to the first
answer of the home page; then the proportional memory (PSS) of every process it started, Ray's and
HAProxy's included, after one page was opened. On engines without a model, and on the default models with
their weights fetched before. Nothing else runs. Units: s, MB.
Gates: ready in at most 25 s, home page in at most 12 s; at most 1600 MB without models, 2500 MB with.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks import machine
from benchmarks.bench import MOCK, REAL, Bench
from benchmarks.result import Gate, Measure, RowResult, counted
from benchmarks.rules import spread
from benchmarks.systems import Product

ROW = 10
TITLE = "Start and memory: all applications"
SETTLE_S = 5.0
CASES = {"without models": MOCK, "with models": REAL}
LIMITS_MB = {"without models": 1600.0, "with models": 2500.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    ready_s: float
    home_page_s: float
    pss_mb: float


def run(bench: Bench) -> RowResult:
    """Start and stop each case as often as there are rounds."""
    wanted = {"without models": "mock" in bench.engines, "with models": "real" in bench.engines}
    starts = {
        case: [_start(bench, config) for _ in range(bench.n_rounds)]
        for case, config in CASES.items()
        if wanted[case]
    }
    measures = [m for case, taken in starts.items() for m in _measures(case, taken)]
    return RowResult(row=ROW, title=TITLE, measures=tuple(measures))


def _start(bench: Bench, config: Path | None) -> _Start:
    with bench.fresh_product(config) as product:
        _open_home(product)
        time.sleep(SETTLE_S)
        pss_mb = machine.pss_mb("RAYDIO_HOME", str(product.home))
        return _Start(ready_s=product.deploy_s, home_page_s=product.home_page_s, pss_mb=pss_mb)


def _open_home(product: Product) -> None:
    target = product.target
    httpx.get(f"{target.url}/ui/", headers=target.headers, timeout=30).raise_for_status()


def _measures(case: str, starts: list[_Start]) -> list[Measure]:
    ready = [start.ready_s for start in starts]
    home = [start.home_page_s for start in starts]
    memory = [start.pss_mb for start in starts]
    ready_gate = Gate(text="≤ 25 s", value=spread(ready).median, limit=25)
    home_gate = Gate(text="≤ 12 s", value=spread(home).median, limit=12)
    limit = LIMITS_MB[case]
    memory_gate = Gate(text=f"≤ {limit:.0f} MB", value=spread(memory).median, limit=limit)
    return [
        counted(f"all ready, {case}", "s", "lower", systems={"raydio": ready}, gates=(ready_gate,)),
        counted(f"home page answers, {case}", "s", "lower", systems={"raydio": home}, gates=(home_gate,)),
        counted(f"memory (PSS), {case}", "MB", "lower", systems={"raydio": memory}, gates=(memory_gate,)),
    ]
