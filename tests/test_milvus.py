"""The vector store: the same tests over Milvus Lite in this process and over its server."""

from __future__ import annotations

import base64
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite
from pymilvus.grpc_gen import milvus_pb2_grpc

from serve_apps.args import KnowledgeArgs
from serve_apps.contracts_store import SearchScope
from serve_apps.engines import milvus_lite_files
from serve_apps.engines.milvus import MAX_TEXT_BYTES, MilvusStore
from serve_apps.engines.milvus_lite import EmbeddedMilvus
from serve_apps.errors import ConfigError, StageFailed, StageUnavailable
from serve_apps.settings import settings
from serve_apps.wire import Vectors
from tests.milvus_server import MilvusServer, server

__all__ = ["server"]

NAME = "raydio_test"
EVERYTHING = SearchScope()
TEXTS = ["the cat sleeps", "the dog barks at the cat", "rain in the afternoon", "Übermut tut selten gut 猫"]


def vectors(n: int, seed: int = 0) -> Vectors:
    made = np.random.default_rng(seed).standard_normal((n, 8)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture(params=["embedded", "server"])
def store(
    request: pytest.FixtureRequest, server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MilvusStore]:
    if request.param == "server":
        monkeypatch.setenv("MILVUS_URI", server.uri)
        settings.cache_clear()
    made = MilvusStore(KnowledgeArgs())
    made.create(NAME, 8)
    made.insert(NAME, range(4), [1, 1, 2, 3], TEXTS, vectors(4))
    made.flush(NAME)
    yield made
    made.drop(NAME)
    made.close()


def test_the_nearest_come_first(store: MilvusStore) -> None:
    found = store.dense(NAME, vectors(4)[2], 4, EVERYTHING)
    assert found[0][0] == 2
    assert found[0][1] == pytest.approx(1.0, abs=1e-5)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert len(found) == 4


def test_a_collection_whose_maker_died_on_the_way_is_finished(store: MilvusStore) -> None:
    half = f"{NAME}_half"
    store._create(store._connected(), half, 8)
    store.create(half, 8)
    store.insert(half, [7], [1], TEXTS[:1], vectors(1))
    assert [key for key, _ in store.dense(half, vectors(1)[0], 4, EVERYTHING)] == [7]
    assert [key for key, _ in store.bm25(half, "cat", 4, EVERYTHING)] == [7]
    store.drop(half)


def test_words_are_found_and_more_of_them_are_better(store: MilvusStore) -> None:
    found = store.bm25(NAME, "dog or cat", 4, EVERYTHING)
    assert [key for key, _ in found] == [1, 0]
    assert found[0][1] > found[1][1] > 0
    assert [key for key, _ in store.bm25(NAME, "ÜBERMUT", 4, EVERYTHING)] == [3]
    assert store.bm25(NAME, "", 4, EVERYTHING) == []


def test_a_search_can_be_limited_to_documents_or_leave_some_out(store: MilvusStore) -> None:
    only, without = SearchScope(documents=(2, 3)), SearchScope(without=(1,))
    for scope in (only, without):
        assert {key for key, _ in store.dense(NAME, vectors(1)[0], 4, scope)} == {2, 3}
        assert store.count(NAME, scope) == 2
        assert store.bm25(NAME, "cat", 4, scope) == []
    assert store.dense(NAME, vectors(1)[0], 4, SearchScope(documents=())) == []


def test_inserting_again_replaces(store: MilvusStore) -> None:
    other = vectors(1, seed=9)
    for _ in range(3):
        store.insert(NAME, [2], [2], ["snow at night"], other)
    assert store.count(NAME, EVERYTHING) == 4
    store.flush(NAME)
    assert store.count(NAME, EVERYTHING) == 4
    assert store.dense(NAME, other[0], 1, EVERYTHING)[0][0] == 2
    assert store.bm25(NAME, "rain", 4, EVERYTHING) == []


def test_what_is_deleted_is_gone_before_and_after_flushing(store: MilvusStore) -> None:
    store.delete(NAME, [1, 3])
    for _ in range(2):
        assert store.count(NAME, EVERYTHING) == 1
        assert [key for key, _ in store.dense(NAME, vectors(1)[0], 4, EVERYTHING)] == [2]
        store.flush(NAME)


def test_collections_come_and_go(store: MilvusStore) -> None:
    store.create("raydio_other", 16)
    store.create("raydio_other", 16)
    assert store.names() == {NAME, "raydio_other"}
    store.drop("raydio_other")
    store.drop("raydio_other")
    assert store.names() == {NAME}
    assert store.count("raydio_other", EVERYTHING) == 0


def test_long_texts_are_cut_where_the_field_ends(store: MilvusStore) -> None:
    store.insert(NAME, [9], [9], ["ü" * MAX_TEXT_BYTES], vectors(1))
    assert store.count(NAME, SearchScope(documents=(9,))) == 1


def test_many_documents_can_be_named(store: MilvusStore) -> None:
    assert store.count(NAME, SearchScope(documents=tuple(range(5000)))) == 4


def test_everything_is_there_after_reopening() -> None:
    first = MilvusStore(KnowledgeArgs())
    first.create(NAME, 8)
    first.insert(NAME, range(4), [1, 1, 2, 3], TEXTS, vectors(4))
    first.close()
    again = MilvusStore(KnowledgeArgs())
    assert again.count(NAME, EVERYTHING) == 4
    assert again.dense(NAME, vectors(4)[1], 1, EVERYTHING)[0][0] == 1
    again.close()


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_half_an_index_is_made_again(share: float) -> None:
    """What a kill left before index files were written whole; the collection could not be opened any more."""
    first = MilvusStore(KnowledgeArgs())
    first.create(NAME, 8)
    first.insert(NAME, range(400), [1] * 400, ["text"] * 400, vectors(400))
    first.flush(NAME)
    first.close()
    [index] = settings().home.glob("**/*.hnsw.idx")
    whole = index.read_bytes()
    index.write_bytes(whole[: int(len(whole) * share)])
    again = MilvusStore(KnowledgeArgs())
    assert [key for key, _ in again.dense(NAME, vectors(400)[123], 1, EVERYTHING)] == [123]
    again.close()
    assert len(index.read_bytes()) == len(whole)


def test_an_index_is_there_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_index: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise RuntimeError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(milvus_lite_files, "_library_save", full)
        store = MilvusStore(KnowledgeArgs())
        store.create(NAME, 8)
        store.insert(NAME, range(4), [1, 1, 2, 3], TEXTS, vectors(4))
        with suppress(StageFailed):
            store.flush(NAME)
        store.close()
    assert not [*settings().home.glob("**/*.idx")]
    [part] = settings().home.glob("**/*.part")
    again = MilvusStore(KnowledgeArgs())
    assert not part.exists()
    assert again.count(NAME, EVERYTHING) == 4
    again.close()


def test_milvus_lite_opens_no_port_and_its_folder_is_private(tmp_path: Path) -> None:
    import psutil  # noqa: PLC0415

    def listening() -> set[int]:
        connections = psutil.Process().net_connections("inet")
        return {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}

    before = listening()
    opened = EmbeddedMilvus(tmp_path / "knowledge")
    assert listening() == before
    assert opened.uri.startswith("unix:")
    socket_path = Path(opened.uri.removeprefix("unix:"))
    assert stat.S_ISSOCK(socket_path.stat().st_mode)
    for folder in (tmp_path / "knowledge", socket_path.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    opened.close()
    assert not socket_path.parent.exists()


def test_a_second_process_is_told_who_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_apps.engines.milvus_lite.LOCK_WAIT_S", 0.2)
    code = (
        "import sys, pathlib, time; from serve_apps.engines.milvus_lite import EmbeddedMilvus\n"
        f"EmbeddedMilvus(pathlib.Path({str(tmp_path)!r})); print('open', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    with pytest.raises(ConfigError, match="Another process"):
        EmbeddedMilvus(tmp_path)
    other.kill()
    other.communicate()
    EmbeddedMilvus(tmp_path).close()


def test_a_server_that_is_away_is_said_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MilvusServer(tmp_path / "away") as away:
        monkeypatch.setenv("MILVUS_URI", away.uri)
        monkeypatch.setattr("serve_apps.engines.milvus.CALL_TIMEOUT_S", 1.0)
        settings.cache_clear()
        made = MilvusStore(KnowledgeArgs())
        with pytest.raises(StageUnavailable, match="does not answer"):
            made.create(NAME, 8)
        away.start()
        made.create(NAME, 8)
        made.insert(NAME, range(4), [1, 1, 2, 3], TEXTS, vectors(4))
        made.flush(NAME)
        away.stop()
        with pytest.raises(StageUnavailable, match="does not answer"):
            made.dense(NAME, vectors(1)[0], 4, EVERYTHING)
        away.start()
        assert len(made.dense(NAME, vectors(1)[0], 4, EVERYTHING)) == 4
        made.close()


def test_nothing_answers_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that takes connections and is silent, like a firewall or a hanging server."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MILVUS_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr("serve_apps.engines.milvus.CALL_TIMEOUT_S", 1.0)
        settings.cache_clear()
        with pytest.raises(StageUnavailable, match="does not answer"):
            MilvusStore(KnowledgeArgs()).names()


class _Door(grpc.ServerInterceptor):  # type: ignore[misc]
    """Lets in who has the token."""

    def __init__(self, token: str) -> None:
        self._expected = base64.b64encode(token.encode()).decode()
        self._refused = grpc.unary_unary_rpc_method_handler(
            lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong token")
        )

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        given = dict(details.invocation_metadata).get("authorization")
        return continuation(details) if given == self._expected else self._refused


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and certificate of a server with TLS and the token `anna:secret`."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
    database = MilvusLite(str(tmp_path / "guarded"))
    made = grpc.server(ThreadPoolExecutor(2), interceptors=[_Door("anna:secret")])
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(database), made)
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    port = made.add_secure_port("localhost:0", credentials)
    made.start()
    yield f"https://localhost:{port}", certificate
    made.stop(grace=1).wait()
    database.close()


def test_a_server_behind_tls_and_a_token(guarded: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    uri, certificate = guarded
    monkeypatch.setenv("MILVUS_URI", uri)
    monkeypatch.setattr("serve_apps.engines.milvus.CALL_TIMEOUT_S", 1.0)

    def names(token: str, certificate: str) -> set[str]:
        monkeypatch.setenv("MILVUS_TOKEN", token)
        monkeypatch.setenv("MILVUS_CA_FILE", certificate)
        settings.cache_clear()
        made = MilvusStore(KnowledgeArgs())
        try:
            return made.names()
        finally:
            made.close()

    assert names("anna:secret", str(certificate)) == set()
    with pytest.raises(StageUnavailable, match="does not answer"):
        names("anna:secret", "")
    with pytest.raises(StageUnavailable, match="MILVUS_TOKEN"):
        names("anna:guess", str(certificate))
