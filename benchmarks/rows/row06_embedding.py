"""Row 6: embeddings, reranker and ingest: how much of the encoder is left when everything is around it.

Requests: one text to embed, or a query with twelve new passages to rerank, 32 at once through the clients
that the conductors use. Floor: the same engines in one process, a call after the other; beside it the same
texts in batches, as the stage makes them. Promises: at least the floor, and 0.8 of the batches.
Ingest: text, Markdown and PDF files of 900 passages in one request, from there to the report. Floor: the
embedder alone on the passages that this makes, in batches. Promise: at least 0.8 of it.
Memory (PSS) of the replicas that documents go through, knowledge and front, with none, 5,000 and 10,000
passages. Promise: the second 5,000 add at most a tenth.
Units: requests/s, passages/s, MB.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks import document_client, library, machine
from benchmarks.bench import REAL, Bench
from benchmarks.engine_process import EngineProcess, engine_process
from benchmarks.library import SECTIONS_EACH, File
from benchmarks.result import Gate, Measure, RowResult, counted, measured
from benchmarks.systems import Product, in_cluster

ROW = 6
TITLE = "Documents: embeddings, reranker, ingest"
N_AT_ONCE = 32
N_TEXTS, N_RERANKED = 800, 30
N_INGESTED = 900
N_KEPT = 5000
"""Twice as many are ingested for the memory."""
REPLICAS = ("ServeReplica:knowledge", "ServeReplica:front")


def run(bench: Bench) -> RowResult:
    """Take the measures; all of them need the real engines."""
    if "real" not in bench.engines:
        return RowResult(row=ROW, title=TITLE)
    product = bench.product(REAL)
    with engine_process("benchmarks.servers.embedding_engines") as engines:
        with engine_process("benchmarks.servers.handles", environment=in_cluster(product)) as handles:
            requests = [_embed(bench, engines, handles), _rerank(bench, engines, handles)]
        ingested = _ingest(bench, engines, product)
    measures = (*requests, ingested, _memory(bench, product))
    return RowResult(row=ROW, title=TITLE, measures=measures)


def _embed(bench: Bench, engines: EngineProcess, handles: EngineProcess) -> Measure:
    n_texts = bench.samples(N_TEXTS)
    handles.ask(f"embed {N_AT_ONCE * 4} {N_AT_ONCE}")  # warm
    rounds = bench.rounds(
        ("engine", lambda: [engines.ask(f"embed one {n_texts}")]),
        {
            "raydio": lambda: [handles.ask(f"embed {n_texts} {N_AT_ONCE}")],
            "engine, batches": lambda: [engines.ask(f"embed batch {n_texts}")],
        },
    )
    gates = (
        _at_least(1.0, "one after the other", rounds.ratio("raydio", "engine")),
        _at_least(0.8, "in batches", rounds.ratio("raydio", "engine, batches")),
    )
    return measured(f"embeddings, {N_AT_ONCE} at once", "requests/s", "higher", rounds, gates=gates)


def _rerank(bench: Bench, engines: EngineProcess, handles: EngineProcess) -> Measure:
    n_queries = bench.samples(N_RERANKED)
    rounds = bench.rounds(
        ("engine", lambda: [engines.ask(f"rerank {n_queries}")]),
        {"raydio": lambda: [handles.ask(f"rerank {n_queries} {N_AT_ONCE}")]},
    )
    gate = _at_least(0.8, "one after the other", rounds.ratio("raydio", "engine"))
    return measured(f"reranker, {N_AT_ONCE} at once", "requests/s", "higher", rounds, gates=(gate,))


def _ingest(bench: Bench, engines: EngineProcess, product: Product) -> Measure:
    files = list(library.files(_n_sections(bench, N_INGESTED)))

    def through_product() -> list[float]:
        collection_id = document_client.create(product.target, "Ingested")
        taken = document_client.ingest(product.target, collection_id, files)
        document_client.delete(product.target, collection_id)
        return [taken.passages_per_s]

    with tempfile.TemporaryDirectory(prefix="raydio-bench-") as folder:
        write(files, Path(folder))
        rounds = bench.rounds(
            ("engine", lambda: [engines.ask(f"ingest {folder}")]), {"raydio": through_product}
        )
    gate = _at_least(0.8, "the embedder alone", rounds.ratio("raydio", "engine"))
    name = f"ingest of {len(files)} files, {_n_sections(bench, N_INGESTED):,} sections"
    return measured(name, "passages/s", "higher", rounds, gates=(gate,))


def _memory(bench: Bench, product: Product) -> Measure:
    def now_mb() -> float:
        return machine.pss_mb("RAYDIO_HOME", str(product.home), *REPLICAS)

    n_sections = _n_sections(bench, N_KEPT)
    collection_id = document_client.create(product.target, "Kept")
    taken = {"raydio empty": [now_mb()]}
    document_client.ingest(product.target, collection_id, library.files(n_sections))
    taken[f"raydio, {n_sections:,}"] = [now_mb()]
    document_client.ingest(product.target, collection_id, library.files(n_sections, first=n_sections))
    taken["raydio"] = [now_mb()]
    document_client.delete(product.target, collection_id)
    growth = taken["raydio"][0] / taken[f"raydio, {n_sections:,}"][0]
    gate = Gate(text="second half adds ≤ 10 %", value=growth - 1, limit=0.1)
    name = f"memory of knowledge and front with {2 * n_sections:,} sections"
    return counted(name, "MB", "lower", systems=taken, gates=(gate,))


def write(files: Iterable[File], folder: Path) -> None:
    """Put files where a process reads them."""
    for file in files:
        (folder / file.name).write_bytes(file.data)


def _n_sections(bench: Bench, n_sections: int) -> int:
    """A file of each kind in a quick run."""
    return 3 * SECTIONS_EACH if bench.quick else n_sections


def _at_least(limit: float, floor: str, ratio: float) -> Gate:
    return Gate(text=f"≥ {limit} × {floor}", value=ratio, limit=limit, at_most=False)
