"""Milvus Lite in this process, behind a Unix socket that only this user can open."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite
from milvus_lite.exceptions import DataDirLockedError
from pymilvus.grpc_gen import milvus_pb2_grpc

from serve_apps.engines import milvus_lite_files, milvus_lite_search
from serve_apps.errors import ConfigError

N_WORKERS = 4
MAX_MESSAGE_BYTES = 256 * 2**20
LOCK_WAIT_S = 10.0
"""A replica that is being replaced may hold the folder until it has ended."""
LOCK_CHECK_S = 0.1


class EmbeddedMilvus:
    """A Milvus Lite over one folder, for one process: writers must take turns.

    pymilvus would open it on a TCP port of the loopback address that every user of the machine may use.

    Raises:
        ConfigError: another process has it open.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        milvus_lite_files.install()
        milvus_lite_search.install()
        begun_s = time.time()
        self._database = _opened(folder)
        milvus_lite_files.tidy(folder, begun_s)
        # Not in `folder`: addresses of sockets are short, homes need not be.
        self._sockets = Path(tempfile.mkdtemp(prefix="raydio-milvus-"))
        self.uri = f"unix:{self._sockets / 's'}"
        # Callers are told what goes wrong; gRPC would print it, too, and what Milvus Lite does not have.
        logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
        self._server = grpc.server(
            ThreadPoolExecutor(N_WORKERS, thread_name_prefix="milvus"),
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                # A long flush holds Python's lock: the client's pings would come in heaps and end the call.
                ("grpc.http2.max_ping_strikes", 0),
            ],
        )
        milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(self._database), self._server)
        self._server.add_insecure_port(self.uri)
        self._server.start()

    def close(self) -> None:
        """Write everything down and let the folder go."""
        self._server.stop(grace=2).wait()
        self._database.close()
        shutil.rmtree(self._sockets, ignore_errors=True)


def _opened(folder: Path) -> MilvusLite:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return MilvusLite(str(folder / "milvus"))
        except DataDirLockedError as error:
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"Another process has the vector store in {folder} open.",
                    "Run one knowledge replica, or point MILVUS_URI at a Milvus server.",
                ) from error
            time.sleep(LOCK_CHECK_S)
