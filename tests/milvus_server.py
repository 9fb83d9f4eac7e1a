"""Milvus Lite's own TCP server, in the place of a Milvus somewhere else."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from pymilvus import MilvusClient, MilvusException


class MilvusServer:
    """A server over a folder; it can be stopped and started again.

    Args:
        folder: where its data is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as chosen:  # one that no other test run is given
            self._port = chosen.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when it answers."""
        options = ["--data-dir", str(self._folder), "--host", "127.0.0.1", "--port", str(self._port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "milvus_lite", "server", *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, "the server ended"
            assert time.monotonic() < deadline

    def _answers(self) -> bool:
        try:
            MilvusClient(self.uri, timeout=1, dedicated=True).close()
        except MilvusException:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """One that runs; tests of a file share it."""
    made = MilvusServer(tmp_path_factory.mktemp("milvus"))
    made.start()
    yield made
    made.stop()
