"""Start and stop what is measured. Everything listens on 127.0.0.1 and is stopped by its process id."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from benchmarks.raw_http import Target
from serve_apps.ray_environment import ray_environment

ROOT = Path(__file__).parents[1]
CONFIGS = Path(__file__).parent / "configs"
LITELLM = ROOT / ".venv-bench-litellm" / "bin" / "litellm"
PIPECAT = ROOT / ".venv-bench-pipecat" / "bin" / "python"
OPEN_WEBUI = ROOT / ".venv-bench-openwebui" / "bin" / "open-webui"
INSTALL_PIPECAT = (
    "python3 -m venv .venv-bench-pipecat && "
    ".venv-bench-pipecat/bin/pip install 'pipecat-ai[websocket,silero]==1.14.0'"
)
INSTALL_OPEN_WEBUI = (
    "python3 -m venv .venv-bench-openwebui && .venv-bench-openwebui/bin/pip install torch==2.13.0 && "
    ".venv-bench-openwebui/bin/pip install open-webui==0.12.4"
)
INSTALL_LITELLM = (
    "python3 -m venv .venv-bench-litellm && .venv-bench-litellm/bin/pip install 'litellm[proxy]==1.106.2'"
)
DIRECT_PORT, GRADIO_PORT, LITELLM_PORT, PRODUCT_PORT, PIPECAT_PORT = 8940, 8941, 8942, 8943, 8944
REAL_PORT, OPEN_WEBUI_PORT = 8945, 8946


class CannotRun(Exception):
    """A system is not installed or does not start; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A running Raydio."""

    target: Target
    home: Path
    """Its RAYDIO_HOME, which also marks every process that belongs to it."""
    deploy_s: float
    """From the start of `raydio up --detach` to its return, all applications healthy."""
    home_page_s: float
    """From the same start to the first answer of the home page."""


@contextmanager
def direct() -> Iterator[Target]:
    """The mock engine behind bare uvicorn."""
    with _module("benchmarks.servers.direct_api", DIRECT_PORT, "/v1/models") as url:
        yield Target(url=url)


@contextmanager
def direct_real() -> Iterator[Target]:
    """The default model and embeddings behind bare uvicorn."""
    with _module("benchmarks.servers.direct_api", REAL_PORT, "/v1/models", "real") as url:
        yield Target(url=url, model="real")


@contextmanager
def plain_gradio() -> Iterator[Target]:
    """Gradio's own chat page around the mock engine."""
    with _module("benchmarks.servers.plain_gradio", GRADIO_PORT, "/") as url:
        yield Target(url=url)


@contextmanager
def litellm(upstream: Target) -> Iterator[Target]:
    """Litellm's proxy in front of `upstream`, installed in a virtual environment of its own.

    Raises:
        CannotRun: it is not installed.
    """
    if not LITELLM.exists():
        raise CannotRun(f"litellm is not installed: {INSTALL_LITELLM}")
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "UPSTREAM": f"{upstream.url}/v1",
    }
    command = [str(LITELLM), "--config", str(CONFIGS / "litellm.yaml"), "--host", "127.0.0.1"]
    command += ["--port", str(LITELLM_PORT)]
    url = f"http://127.0.0.1:{LITELLM_PORT}"
    with _process(command, environment, lambda: _answers(f"{url}/health/liveliness"), timeout_s=120):
        yield Target(url=url, token="sk-benchmark")  # noqa: S106


@contextmanager
def pipecat(silence_ms: int) -> Iterator[str]:
    """Pipecat on the mock voice engines, installed in a virtual environment of its own; its address.

    Raises:
        CannotRun: it is not installed.
    """
    if not PIPECAT.exists():
        raise CannotRun(f"pipecat is not installed: {INSTALL_PIPECAT}")
    command = [str(PIPECAT), "-m", "benchmarks.servers.pipecat_voice", str(PIPECAT_PORT), str(silence_ms)]
    with _process(command, {}, lambda: _listens(PIPECAT_PORT), timeout_s=60):
        yield f"ws://127.0.0.1:{PIPECAT_PORT}"


@contextmanager
def open_webui(engines: Target) -> Iterator[Target]:
    """Open WebUI over the same model and embeddings, installed in a virtual environment of its own.

    Passages as long as the product's, as many in an answer; nothing that asks the model anything besides.

    Raises:
        CannotRun: it is not installed, or does not start.
    """
    if not OPEN_WEBUI.exists():
        raise CannotRun(f"Open WebUI is not installed: {INSTALL_OPEN_WEBUI}")
    url = f"http://127.0.0.1:{OPEN_WEBUI_PORT}"
    command = [str(OPEN_WEBUI), "serve", "--host", "127.0.0.1", "--port", str(OPEN_WEBUI_PORT)]
    with tempfile.TemporaryDirectory(prefix="raydio-bench-") as folder:
        environment = {**_open_webui_settings(f"{engines.url}/v1"), "DATA_DIR": folder, "PYTHONPATH": ""}
        with _process(command, environment, lambda: _answers(f"{url}/health"), timeout_s=180):
            nobody = {"email": "", "password": ""}
            signed_in = httpx.post(f"{url}/api/v1/auths/signin", json=nobody, timeout=30).raise_for_status()
            yield Target(url=url, token=signed_in.json()["token"], model=engines.model)


def _open_webui_settings(api: str) -> dict[str, str]:
    unwanted = ("TITLE", "TAGS", "FOLLOW_UP", "AUTOCOMPLETE", "RETRIEVAL_QUERY")
    return {
        "OFFLINE_MODE": "True",
        "WEBUI_AUTH": "False",
        "WEBUI_SECRET_KEY": secrets.token_hex(16),
        "ENABLE_OLLAMA_API": "False",
        "OPENAI_API_BASE_URL": api,
        "OPENAI_API_KEY": "none",
        "RAG_EMBEDDING_ENGINE": "openai",
        "RAG_OPENAI_API_BASE_URL": api,
        "RAG_OPENAI_API_KEY": "none",
        "RAG_EMBEDDING_MODEL": "real",
        "RAG_EMBEDDING_BATCH_SIZE": "64",
        "RAG_TOP_K": "4",
        "CHUNK_SIZE": "500",
        "CHUNK_OVERLAP": "0",
        "ANONYMIZED_TELEMETRY": "False",
        **{f"ENABLE_{name}_GENERATION": "False" for name in unwanted},
    }


@contextmanager
def product(config: Path | None) -> Iterator[Product]:
    """`raydio up --detach` in a home of its own; `raydio down` at the end.

    Args:
        config: the Serve config, or None for the one that `raydio up` runs by itself.

    Raises:
        CannotRun: it did not come up; the message is its own.
    """
    raydio = str(Path(sys.executable).with_name("raydio"))
    with tempfile.TemporaryDirectory(prefix="raydio-bench-") as folder:
        token = secrets.token_hex(16)
        environment = _environment({"RAYDIO_HOME": folder, "RAYDIO_TOKEN": token})
        command = [raydio, "up", *([str(config)] if config else []), "--detach", "--no-browser"]
        command += ["--port", str(PRODUCT_PORT)]
        target = Target(url=f"http://127.0.0.1:{PRODUCT_PORT}", token=token)
        try:
            deploy_s, home_page_s = _up(command, environment, target)
            target = replace(target, model=_model(target))
            yield Product(target=target, home=Path(folder), deploy_s=deploy_s, home_page_s=home_page_s)
        finally:
            subprocess.run([raydio, "down"], env=environment, cwd=ROOT, capture_output=True, check=False)


def _model(target: Target) -> str:
    """The name of the model that answers."""
    answer = httpx.get(f"{target.url}/v1/models", headers=target.headers, timeout=30).raise_for_status()
    return str(answer.json()["data"][0]["id"])


def _up(command: list[str], environment: Mapping[str, str], target: Target) -> tuple[float, float]:
    """Run `raydio up`, asking the home page meanwhile: seconds to the end and to its first answer."""
    started = time.perf_counter()
    log = Path(environment["RAYDIO_HOME"]) / "benchmark-up.log"
    home_page_s: float | None = None
    with log.open("w") as output:
        running = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
        while running.poll() is None:
            if home_page_s is None and _answers(f"{target.url}/ui/", target.headers):
                home_page_s = time.perf_counter() - started
            time.sleep(0.05)
    if running.returncode != 0:
        raise CannotRun(f"raydio up ended with {running.returncode}: {log.read_text()[-2000:]}")
    deploy_s = time.perf_counter() - started
    return deploy_s, deploy_s if home_page_s is None else home_page_s


def in_cluster(running: Product) -> dict[str, str]:
    """What a process needs in its environment to join a product's Ray cluster."""
    return {**ray_environment(running.home), "RAYDIO_HOME": str(running.home), "PYTHONPATH": str(ROOT)}


@contextmanager
def _module(module: str, port: int, path: str, *arguments: str) -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", module, str(port), *arguments]
    with _process(command, {}, lambda: _answers(url + path), timeout_s=60):
        yield url


@contextmanager
def _process(
    command: list[str], extra: Mapping[str, str], ready: Callable[[], bool], timeout_s: float
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; enter the block when it is ready."""
    with tempfile.TemporaryFile() as log:
        running = subprocess.Popen(command, env=_environment(extra), cwd=ROOT, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + timeout_s
            while not ready():
                if running.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise CannotRun(f"{command[0]} did not start: {log.read().decode()[-1000:]}")
                time.sleep(0.1)
            yield running
        finally:
            running.terminate()
            running.wait(30)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, without its own Raydio, offline, and with the benchmarks importable."""
    kept = {name: value for name, value in os.environ.items() if name not in ("RAYDIO_HOME", "RAY_ADDRESS")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        **extra,
    }


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _answers(url: str, headers: Mapping[str, str] | None = None) -> bool:
    try:
        return httpx.get(url, headers=headers, timeout=5, follow_redirects=True).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
