"""Who may import whom. Runs first: a wrong arrow makes every other result doubtful."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEAVES = {
    "wire", "wire_knowledge", "wire_conversations", "errors", "settings", "args", "contracts",
    "contracts_knowledge",
    "speech_text", "read_aloud", "writing", "access", "citations",
}  # fmt: skip
"""Nothing of ours but each other; no ray, gradio or torch."""
SOUND = {"samples", "media", "transcription", "subtitles"}
"""Sound files and transcripts: leaves plus the audio libraries."""
STAGES = {"llm", "stt", "tts", "embeddings", "reranker", "knowledge"}
DATABASE = {"database", "conversation_store", "conversation_tables"}
"""What is in the SQL database, and how it is read and written."""
CONVERSATIONS = {
    path.stem
    for pattern in ("conversation_*.py", "export_*.py", "import_*.py")
    for path in (ROOT / "serve_apps").glob(pattern)
} - {"conversation_requests"}
"""The parts of the conversations conductor: stores, files, answers being written."""
CATALOGUE = {
    "catalogue", "catalogue_access", "catalogue_adding", "catalogue_generations", "catalogue_leaving",
    "catalogue_originals", "catalogue_rows", "catalogue_search", "catalogue_tables", "catalogue_words",
    "fusion",
}  # fmt: skip
"""What the database says of documents: no store of vectors, no threads."""
KNOWLEDGE_PARTS = {"knowledge_index", "knowledge_search", "knowledge_threads"}
"""What the knowledge stage does with the catalogue and the store."""
STAGE_PARTS = {"admission", "batching", "coalesce", "stage_deployment"}
"""Mechanisms that stages are made of."""
CONDUCTORS = {
    "chat", "chat_turn", "cited_text", "follow_up", "grounding", "retrieval", "voice", "turns",
}  # fmt: skip
INGEST = {
    "archives", "ingest", "ingest_files", "ingest_patience", "ingest_progress", "ingest_reading",
    "ingest_reindex", "ingest_run", "ingest_shelf", "ingest_spool", "ingest_tickets", "ingest_web",
    "web_addresses",
}  # fmt: skip
"""The conductor of documents on their way in, and its parts."""
COMMAND = {
    "cli", "cli_documents", "cli_eval", "documents_client",
    "launch", "live_table", "fetching", "serve_logs", "attached", "machine", "processes", "run_state",
    "ray_environment", "local_ray", "supervisor", "weights", "wheels",
}  # fmt: skip
"""The command `raydio` and what it runs on."""
HEAVY = {
    "TTS", "ctranslate2", "espeakng_loader", "faster_whisper", "gguf", "milvus_lite", "moonshine_voice",
    "onnxruntime", "pocketsphinx", "pymilvus", "sentence_transformers", "tokenizers", "torch", "transformers",
    "vllm", "xllamacpp",
}  # fmt: skip
UI_SHARED = {"theme", "shell", "audio", "player", "waterfall", "stats"}
PAGES = {"home", "chat", "voice", "stt", "tts", "embeddings"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at whatever depth it says so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """The modules of ours that a file imports: `serve_apps.llm`, `serve_apps.engines`, `ui.theme`."""
    known = {f"serve_apps.{p.stem}" for p in (ROOT / "serve_apps").glob("*.py")} | {"serve_apps.engines"}
    known |= {f"serve_apps.engines.{p.stem}" for p in (ROOT / "serve_apps/engines").glob("*.py")}
    known |= {f"serve_apps.realtime.{p.stem}" for p in (ROOT / "serve_apps/realtime").glob("*.py")}
    known |= {f"ui.{p.stem}" for p in (ROOT / "ui").glob("*.py")}
    return {name for name in imports(path) if name in known}


def libraries(path: Path) -> set[str]:
    """The first words of everything else that a file imports."""
    return {name.partition(".")[0] for name in imports(path)} - {"serve_apps", "ui"}


def serve_apps(*names: str) -> set[str]:
    return {f"serve_apps.{name}" for name in names}


def module(name: str) -> Path:
    return ROOT / "serve_apps" / f"{name}.py"


def existing(names: set[str]) -> list[str]:
    return sorted(name for name in names if module(name).exists())


@pytest.mark.parametrize("name", existing(LEAVES))
def test_leaves_import_only_leaves(name: str) -> None:
    assert ours(module(name)) <= serve_apps(*LEAVES)
    assert not libraries(module(name)) & (HEAVY | {"ray", "gradio"})


@pytest.mark.parametrize("name", existing(SOUND))
def test_sound_files_import_only_leaves(name: str) -> None:
    assert ours(module(name)) <= serve_apps(*LEAVES, *SOUND)
    assert not libraries(module(name)) & (HEAVY | {"ray", "gradio"})


@pytest.mark.parametrize("path", sorted((ROOT / "serve_apps/engines").glob("*.py")), ids=lambda p: p.stem)
def test_engines_import_leaves_and_engines(path: Path) -> None:
    engines = {name for name in ours(path) if name.startswith("serve_apps.engines")}
    assert ours(path) - engines <= serve_apps(*LEAVES, *SOUND, "weights")
    assert not libraries(path) & {"ray", "gradio"}


@pytest.mark.parametrize("name", existing(CATALOGUE))
def test_the_catalogue_knows_no_store(name: str) -> None:
    assert ours(module(name)) <= serve_apps(*LEAVES, *CATALOGUE, "database")
    assert not libraries(module(name)) & (HEAVY | {"ray", "gradio"})


@pytest.mark.parametrize("name", existing(KNOWLEDGE_PARTS))
def test_parts_of_the_knowledge_stage_know_no_engine_and_no_ray(name: str) -> None:
    assert ours(module(name)) <= serve_apps(*LEAVES, *CATALOGUE, *KNOWLEDGE_PARTS, "database", "metrics")
    assert not libraries(module(name)) & (HEAVY | {"ray", "gradio"})


@pytest.mark.parametrize("name", existing(STAGES | STAGE_PARTS))
def test_stages_do_not_know_each_other(name: str) -> None:
    allowed = serve_apps(*LEAVES, *SOUND, *STAGE_PARTS, "metrics", "engines", "engines.silero", "weights")
    if name == "knowledge":
        allowed |= serve_apps("database", *CATALOGUE, *KNOWLEDGE_PARTS)
    assert ours(module(name)) <= allowed
    assert not libraries(module(name)) & (HEAVY | {"gradio"})


@pytest.mark.parametrize("name", existing(CONDUCTORS))
def test_conductors_hold_clients(name: str) -> None:
    assert ours(module(name)) <= serve_apps(*LEAVES, *SOUND, *CONDUCTORS, "clients", "clients_knowledge")
    assert not libraries(module(name)) & (HEAVY | {"gradio"})


@pytest.mark.parametrize("name", existing(INGEST))
def test_ingest_holds_clients(name: str) -> None:
    assert ours(module(name)) <= serve_apps(*LEAVES, *SOUND, *INGEST, "clients", "clients_knowledge")
    assert not libraries(module(name)) & (HEAVY | {"gradio", "sqlalchemy", "pymilvus"})
    assert name == "ingest" or "ray" not in libraries(module(name))


@pytest.mark.parametrize("path", sorted((ROOT / "serve_apps/documents").glob("*.py")), ids=lambda p: p.stem)
def test_what_reads_documents_knows_nothing_else(path: Path) -> None:
    assert ours(path) <= serve_apps(*LEAVES)
    assert not libraries(path) & (HEAVY | {"gradio", "ray", "sqlalchemy", "pymilvus"})


@pytest.mark.parametrize("name", sorted(CONVERSATIONS))
def test_conversations_hold_a_chat_and_a_database(name: str) -> None:
    assert ours(module(name)) <= serve_apps(*LEAVES, *CONVERSATIONS, "database", "turns")
    assert not libraries(module(name)) & (HEAVY | {"gradio", "ray"})


@pytest.mark.parametrize("path", sorted((ROOT / "serve_apps/realtime").glob("*.py")), ids=lambda p: p.stem)
def test_live_sessions_hold_clients(path: Path) -> None:
    """And their ears load when a session begins, not when an application is built."""
    parts = {name for name in ours(path) if name.startswith("serve_apps.realtime")}
    assert ours(path) - parts <= serve_apps(*LEAVES, *SOUND, "turns")
    assert not libraries(path) & (HEAVY | {"ray", "gradio"})


def test_clients_never_import_a_stage() -> None:
    for name in ("clients", "clients_knowledge", "stage_client"):
        allowed = serve_apps(*LEAVES, "metrics", "cluster", "clients_knowledge", "stage_client")
        assert ours(module(name)) <= allowed


@pytest.mark.parametrize("name", existing(COMMAND))
def test_the_command_knows_no_stage_and_no_page(name: str) -> None:
    assert ours(module(name)) <= serve_apps(*LEAVES, *COMMAND, "cluster", "serve_config")
    assert not libraries(module(name)) & (HEAVY | {"gradio"})


@pytest.mark.parametrize("path", sorted((ROOT / "ui").glob("*.py")), ids=lambda p: p.stem)
def test_ui_knows_contracts_and_shared_parts(path: Path) -> None:
    pages = {f"ui.{page}" for page in PAGES - {path.stem}}
    assert not ours(path) & pages, "a page imports another page"
    assert {name for name in ours(path) if name.startswith("serve_apps")} <= serve_apps(*LEAVES, *SOUND)
    assert not libraries(path) & (HEAVY | {"ray"})


def test_only_the_ingress_imports_ui() -> None:
    for path in (ROOT / "serve_apps").rglob("*.py"):
        if path.stem != "gradio_ingress":
            assert not {name for name in ours(path) if name.startswith("ui")}, path
            assert "gradio" not in libraries(path), path


def test_deploying_imports_no_engine_library_and_no_gradio() -> None:
    """The driver builds every application: what it imports is start-up time of the whole product."""
    modules = "front", "api", "llm", "stt", "tts", "embeddings", "reranker", "chat", "voice", "conversations"
    code = f"import sys, {', '.join(f'serve_apps.{m}' for m in modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert not (HEAVY | {"gradio"}) & loaded
    assert not {"sqlalchemy", "alembic", "markdown_it", "typst"} & loaded
    # What only serves: sound files, and the door of live sessions, a sixth of a second.
    assert not {"av", "soundfile", "serve_apps.realtime.door"} & loaded


def test_nothing_mentions_what_lies_outside_the_repository() -> None:
    words = ["../" + "shared", "/work/" + "shared"]
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("serve_apps/**/*.py"),
        *ROOT.glob("ui/*.py"),
    ]:
        assert not any(word in path.read_text() for word in words), path
