"""Row 7: answers from documents: how long finding passages takes, and what it adds to the first word.

Everything in a collection of 10,000 passages of text, Markdown and PDF files, on the real engines.
Retrieval over the handles, without and with the reranker: embedding and search, one query after the other,
median and 95th percentile. Floor: the stages' classes in one process, called in turn. Promise: at most 15 ms
without the reranker.
Added: how much later the first word of an answer comes with documents than without, from a model that answers
at once, so that what the real one needs to read is in neither. Floor: embedding, search and reranking, called
in turn in one process; promise: at most 1.25 times that, and of the same three called over the handles.
First word of an answer over HTTP, `POST /chat` with everything in between; promise: at most 600 ms. Peer:
Open WebUI on the same files, model and embeddings, with as many passages. Searches over HTTP, both without
a reranker.
Searches among 100,000 passages with random vectors; the time to add them, and then to build the index.
Units: ms, s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import document_client, library, open_webui_client
from benchmarks.bench import REAL, Bench
from benchmarks.engine_process import EngineProcess, engine_process
from benchmarks.result import Gate, Measure, RowResult, counted, measured
from benchmarks.rows.row06_embedding import write
from benchmarks.rules import Sampler, percentile
from benchmarks.systems import CannotRun, Product, in_cluster

ROW = 7
TITLE = "Documents: search and answers"
N_SECTIONS, N_SECTIONS_QUICK = 10_000, 300
N_LARGE, N_LARGE_QUICK = 100_000, 2000
SETTLE_S, SETTLE_QUICK_S = 300, 20
"""How long the index is waited for."""
N_SEARCHES, N_ANSWERS = 60, 12
METHODS = ("dense", "bm25", "hybrid")


def run(bench: Bench) -> RowResult:
    """Take the measures; all of them need the real engines."""
    if "real" not in bench.engines:
        return RowResult(row=ROW, title=TITLE)
    product = bench.product(REAL)
    library_of_ours = _Library(bench, product)
    measures = [*_over_http(bench, library_of_ours), *_direct(bench, library_of_ours)]
    return RowResult(row=ROW, title=TITLE, measures=tuple(measures))


class _Library:
    """The files, and the product's collection of them."""

    def __init__(self, bench: Bench, product: Product) -> None:
        self.product = product
        self.n_sections = N_SECTIONS_QUICK if bench.quick else N_SECTIONS
        self.files = list(library.files(self.n_sections))
        self.collection_id = document_client.create(product.target, "Library")
        self.added = document_client.ingest(product.target, self.collection_id, self.files)

    def questions(self, n_questions: int) -> list[str]:
        """All over it."""
        return library.questions(n_questions, self.n_sections)


# ---- over handles --------------------------------------------------------------------------------


def _direct(bench: Bench, ours: _Library) -> list[Measure]:
    with tempfile.TemporaryDirectory(prefix="raydio-bench-") as name:
        write(ours.files, Path(name))
        with _processes(ours.product, Path(name)) as (stages, handles):
            return [
                *_retrieval(bench, stages, handles, ours, rerank=False),
                *_retrieval(bench, stages, handles, ours, rerank=True),
                _added(bench, stages, handles, ours),
                *_large(bench, ours.product, handles),
            ]


@contextmanager
def _processes(product: Product, folder: Path) -> Iterator[tuple[EngineProcess, EngineProcess]]:
    """The stages in one process, filled; and a process in the product's cluster."""
    with (
        tempfile.TemporaryDirectory(prefix="raydio-bench-") as home,
        engine_process(
            "benchmarks.servers.rag_stages", str(folder), environment={"RAYDIO_HOME": home}
        ) as stages,
        engine_process("benchmarks.servers.handles", environment=in_cluster(product)) as handles,
    ):
        yield stages, handles


def _retrieval(
    bench: Bench, stages: EngineProcess, handles: EngineProcess, ours: _Library, *, rerank: bool
) -> list[Measure]:
    n_searches = bench.samples(N_SEARCHES)
    taken: dict[str, list[float]] = {"stages": [], "raydio": []}
    asked = {
        "stages": (stages, f"{'rerank' if rerank else 'search'} {n_searches}"),
        "raydio": (handles, f"retrieve {ours.collection_id} {'rerank' if rerank else 'plain'} {n_searches}"),
    }

    def sample(system: str) -> list[float]:
        process, line = asked[system]
        values = process.values(line)
        taken[system] += values
        return values

    rounds = bench.rounds(("stages", lambda: sample("stages")), {"raydio": lambda: sample("raydio")})
    gate = Gate(text="≤ 15 ms", value=rounds.spread("raydio").median, limit=15)
    name = f"retrieval among {ours.n_sections:,} passages{', reranked' if rerank else ''}"
    p95 = {system: [percentile(values, 95)] for system, values in taken.items()}
    return [
        measured(name, "ms", "lower", rounds, gates=() if rerank else (gate,)),
        counted(f"{name}, 95th percentile", "ms", "lower", systems=p95),
    ]


def _added(bench: Bench, stages: EngineProcess, handles: EngineProcess, ours: _Library) -> Measure:
    asked = f"{ours.collection_id} {bench.samples(N_SEARCHES)}"
    rounds = bench.rounds(
        ("stages", lambda: stages.values(f"rerank {bench.samples(N_SEARCHES)}")),
        {
            "its calls": lambda: handles.values(f"calls {asked}"),
            "raydio": lambda: handles.values(f"added {asked}"),
        },
    )
    gates = (
        Gate(text="≤ 1.25 × the stages", value=rounds.ratio("raydio", "stages"), limit=1.25),
        Gate(text="≤ 1.25 × its calls", value=rounds.ratio("raydio", "its calls"), limit=1.25),
    )
    return measured("added to an answer's first word", "ms", "lower", rounds, gates=gates)


def _large(bench: Bench, product: Product, handles: EngineProcess) -> list[Measure]:
    n_passages = N_LARGE_QUICK if bench.quick else N_LARGE
    n_searches = bench.samples(N_SEARCHES)
    collection_id = document_client.create(product.target, "Many")
    took_s = handles.ask(f"fill {collection_id} {n_passages}")
    among = f"{n_passages:,} passages"
    settled_s = handles.ask(f"settle {collection_id} {SETTLE_QUICK_S if bench.quick else SETTLE_S}")
    measures = [
        counted(f"adding {among} with vectors", "s", "lower", systems={"raydio": [took_s]}),
        counted(f"until the index of {among} is built", "s", "lower", systems={"raydio": [settled_s]}),
    ]
    for method in METHODS:
        values = handles.values(f"find {collection_id} {method} {n_searches}")
        name = f"{method} search among {among}"
        measures.append(counted(name, "ms", "lower", systems={"raydio": values}))
    document_client.delete(product.target, collection_id)
    return measures


# ---- over HTTP -----------------------------------------------------------------------------------


def _over_http(bench: Bench, ours: _Library) -> list[Measure]:
    searched, asked = ours.questions(bench.samples(N_SEARCHES)), ours.questions(bench.samples(N_ANSWERS))
    target, collection_id = ours.product.target, ours.collection_id
    adding = {"raydio": [ours.added.duration_s]}
    search: dict[str, Sampler] = {
        "raydio": lambda: document_client.search_ms(target, collection_id, searched, rerank=False)
    }
    answer: dict[str, Sampler] = {
        "raydio": lambda: document_client.first_text_ms(target, collection_id, asked)
    }
    skipped: dict[str, str] = {}
    answer["raydio"]()  # warm
    with bench.open_webui() as peer:
        if isinstance(peer, CannotRun):
            skipped["Open WebUI"] = str(peer)
        else:
            filled, took_s = open_webui_client.fill(peer, ours.files)
            adding["Open WebUI"] = [took_s]
            search["Open WebUI"] = partial(open_webui_client.search_ms, peer, filled, searched)
            answer["Open WebUI"] = partial(open_webui_client.first_text_ms, peer, filled, asked)
            answer["Open WebUI"]()
        searches, answers = bench.alternating(search), bench.alternating(answer)
    gate = Gate(text="≤ 600 ms", value=answers.spread("raydio").median, limit=600)
    shown = {"skipped": skipped}
    files = f"{len(ours.files)} files, {ours.n_sections:,} sections"
    return [
        measured("first word of an answer, over HTTP", "ms", "lower", answers, gates=(gate,), **shown),
        measured("search over HTTP, no reranker", "ms", "lower", searches, **shown),
        counted(f"adding {files}, over HTTP", "s", "lower", systems=adding, **shown),
    ]
