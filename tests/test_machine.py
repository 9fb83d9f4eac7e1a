from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from serve_apps import machine, processes
from serve_apps.errors import PortInUse, SetupError
from serve_apps.ray_environment import ray_environment, ray_folder

CHILD_AND_GRANDCHILD = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print('ready', flush=True); time.sleep(60)\n"
)


@pytest.fixture(params=[{}, {"shared": True}], ids=["exclusive", "SO_REUSEPORT"])
def listener(request: pytest.FixtureRequest) -> Iterator[int]:
    with socket.socket() as server:
        if request.param:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_in_use_is_told_with_its_process(listener: int) -> None:
    with pytest.raises(PortInUse, match=rf"port {listener} \(.*pid {os.getpid()}\).*--port \d+"):
        machine.check_port("127.0.0.1", listener)


def test_a_free_port_passes_and_is_left_free() -> None:
    port = machine.free_port(20_000)
    machine.check_port("127.0.0.1", port)
    machine.check_port("0.0.0.0", port)


def test_free_port_goes_past_what_listens(listener: int) -> None:
    assert machine.free_port(listener) > listener


def test_memory() -> None:
    machine.check_memory(1)
    with pytest.raises(SetupError, match="of memory are free"):
        machine.check_memory(1 << 60)


def test_disk(tmp_path: Path) -> None:
    machine.check_disk(tmp_path, 1)
    with pytest.raises(SetupError, match="are free under"):
        machine.check_disk(tmp_path, 1 << 60)


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, with a child."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD_AND_GRANDCHILD], stdout=subprocess.PIPE, start_new_session=True
    ) as leader:
        assert leader.stdout
        leader.stdout.readline()
        yield leader
        processes.stop({*processes.family(leader.pid), *filter(None, [processes.footprint(leader.pid)])})


def test_a_family_is_found_with_its_parent_and_without(family: subprocess.Popen[bytes]) -> None:
    found = processes.family(family.pid)
    assert len(found) == 1
    family.send_signal(signal.SIGKILL)
    family.wait()
    assert processes.family(family.pid) == found, "the orphan is known by its session"


def test_stop_ends_them_for_certain(family: subprocess.Popen[bytes]) -> None:
    found = processes.family(family.pid)
    assert processes.stop(found, grace_s=1.0) == []
    assert not any(processes.is_alive(one) for one in found)


def test_a_reused_pid_is_not_ours() -> None:
    me = os.getpid()
    created = psutil.Process(me).create_time()
    assert processes.is_alive((me, created))
    assert not processes.is_alive((me, created - 1))
    assert processes.stop([(me, created - 1)]) == []


def test_a_process_that_is_gone() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert processes.footprint(gone.pid) is None
    assert not processes.is_alive((gone.pid, 0.0))


def test_ray_gets_a_private_token_and_free_ports(raydio_home: Path, listener: int) -> None:
    first = ray_environment(raydio_home)
    path = Path(first["RAY_AUTH_TOKEN_PATH"])
    assert path.stat().st_mode & 0o777 == 0o600
    token = path.read_text()
    assert len(token) == 64
    ray_environment(raydio_home)
    assert path.read_text() == token, "made once"
    assert str(listener) not in {value for name, value in first.items() if name.endswith("PORT")}


def test_haproxy_listens_for_metrics_on_loopback_only(raydio_home: Path, tmp_path: Path) -> None:
    script = ray_environment(raydio_home)["RAY_SERVE_HAPROXY_BINARY_PATH"]
    config = tmp_path / "haproxy.cfg"
    config.write_text("frontend a\n  bind :9101\n  bind *:8404\n  bind 0.0.0.0:8000\n")
    told = subprocess.run(
        [script, "-v", "-f", str(config)], check=True, capture_output=True, text=True
    ).stdout
    assert "HAProxy version" in told
    wanted = "frontend a\n  bind 127.0.0.1:9101\n  bind 127.0.0.1:8404\n  bind 0.0.0.0:8000\n"
    assert config.read_text() == wanted


def test_rays_folder_is_private_short_and_one_per_home(tmp_path: Path) -> None:
    one, other = ray_folder(tmp_path / "one"), ray_folder(tmp_path / "other")
    assert one != other
    assert len(str(one)) < 40
    assert one.stat().st_mode & 0o777 == 0o700
    one.rmdir()
    other.rmdir()


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = ray_folder(tmp_path)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(SetupError, match="belongs to somebody else"):
        ray_folder(tmp_path)
    folder.unlink()
