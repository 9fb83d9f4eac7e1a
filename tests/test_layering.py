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
    "contracts_knowledge", "contracts_conversations", "contracts_store",
    "speech_text", "read_aloud", "writing", "access", "citations", "memory",
}  # fmt: skip
"""Nothing of ours but each other; no ray, gradio or torch."""
SOUND = {"samples", "media", "transcription", "subtitles"}
"""Sound files and transcripts: leaves plus the audio libraries."""
STAGES = {"llm", "stt", "tts", "embeddings", "reranker", "knowledge"}
STAGE_PARTS = {"admission", "batching", "coalesce", "stage_deployment"}
"""Mechanisms that stages are made of."""
CONDUCTORS = {
    "chat", "chat_turn", "cited_text", "finding", "follow_up", "grounding", "retrieval", "token_counts",
    "turns", "voice",
}  # fmt: skip
COMMAND = {
    "cli", "cli_documents", "cli_eval", "documents_client",
    "launch", "live_table", "fetching", "serve_logs", "attached", "machine", "processes", "run_state",
    "ray_environment", "lean_serve", "local_ray", "supervisor", "weights", "wheels",
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


def dotted(path: Path) -> str:
    """`serve_apps.llm`; of a package its own name, `serve_apps.engines`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def package(name: str) -> set[str]:
    """All modules of a package, `serve_apps.<name>`, and itself."""
    return {dotted(path) for path in (ROOT / "serve_apps" / name).glob("*.py")}


def files(name: str) -> list[Path]:
    return sorted((ROOT / "serve_apps" / name).glob("*.py"))


def ours(path: Path) -> set[str]:
    """The modules of ours that a file imports: `serve_apps.llm`, `serve_apps.engines`, `ui.theme`."""
    known = {dotted(p) for folder in ("serve_apps", "ui") for p in (ROOT / folder).rglob("*.py")}
    known -= {"serve_apps", "ui"}
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


@pytest.mark.parametrize("path", files("engines"), ids=lambda p: p.stem)
def test_engines_import_leaves_and_engines(path: Path) -> None:
    assert ours(path) <= package("engines") | serve_apps(*LEAVES, *SOUND, "weights")
    assert not libraries(path) & {"ray", "gradio"}


@pytest.mark.parametrize("path", files("catalogue"), ids=lambda p: p.stem)
def test_the_catalogue_knows_no_engine_and_no_ray(path: Path) -> None:
    assert ours(path) <= package("catalogue") | serve_apps(*LEAVES, "database", "metrics")
    assert not libraries(path) & (HEAVY | {"ray", "gradio"})


@pytest.mark.parametrize("name", existing(STAGES | STAGE_PARTS))
def test_stages_do_not_know_each_other(name: str) -> None:
    allowed = serve_apps(*LEAVES, *SOUND, *STAGE_PARTS, "metrics", "engines", "engines.silero", "weights")
    if name == "knowledge":
        allowed |= package("catalogue") | serve_apps("database")
    assert ours(module(name)) <= allowed
    assert not libraries(module(name)) & (HEAVY | {"gradio"})


def test_knowledge_in_one_call_is_put_together_from_stages() -> None:
    stages = serve_apps("knowledge", "embeddings", "reranker", "stage_deployment", "finding")
    assert ours(module("one_call_knowledge")) <= serve_apps(*LEAVES) | stages
    assert not libraries(module("one_call_knowledge")) & (HEAVY | {"gradio"})


@pytest.mark.parametrize("name", existing(CONDUCTORS))
def test_conductors_hold_clients(name: str) -> None:
    assert ours(module(name)) <= serve_apps(*LEAVES, *SOUND, *CONDUCTORS, "clients", "clients_knowledge")
    assert not libraries(module(name)) & (HEAVY | {"gradio"})


def test_the_conductors_of_what_is_kept_hold_clients_and_their_parts() -> None:
    shared = serve_apps(*LEAVES, *CONDUCTORS, "clients", "clients_knowledge")
    assert ours(module("ingest")) <= shared | package("ingestion")
    assert ours(module("conversations")) <= shared | package("conversation")


@pytest.mark.parametrize("path", files("ingestion"), ids=lambda p: p.stem)
def test_ingest_reads_and_stores_nothing_itself(path: Path) -> None:
    assert ours(path) <= package("ingestion") | package("documents") | serve_apps(*LEAVES, *SOUND)
    assert not libraries(path) & (HEAVY | {"gradio", "ray", "sqlalchemy"})


@pytest.mark.parametrize("path", files("documents"), ids=lambda p: p.stem)
def test_what_reads_documents_knows_nothing_else(path: Path) -> None:
    assert ours(path) <= package("documents") | serve_apps(*LEAVES)
    assert not libraries(path) & (HEAVY | {"gradio", "ray", "sqlalchemy"})


@pytest.mark.parametrize("path", files("conversation"), ids=lambda p: p.stem)
def test_conversations_hold_a_chat_and_a_database(path: Path) -> None:
    assert ours(path) <= package("conversation") | serve_apps(*LEAVES, "database", "turns")
    assert not libraries(path) & (HEAVY | {"gradio", "ray"})


@pytest.mark.parametrize("path", files("realtime"), ids=lambda p: p.stem)
def test_live_sessions_hold_clients(path: Path) -> None:
    """And their ears load when a session begins, not when an application is built."""
    assert ours(path) <= package("realtime") | serve_apps(*LEAVES, *SOUND, "turns")
    assert not libraries(path) & (HEAVY | {"ray", "gradio"})


def test_clients_never_import_a_stage() -> None:
    for name in ("clients", "clients_knowledge", "shared_calls", "stage_client"):
        allowed = serve_apps(
            *LEAVES, "metrics", "cluster", "clients_knowledge", "shared_calls", "stage_client"
        )
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
