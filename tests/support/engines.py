"""A real Slurm and a real Ray of this machine alone, for as long as a test needs them."""

import getpass
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import psutil
import pytest

from tests.support.processes import wait_until

os.environ["RAY_AUTH_MODE"] = "token"  # nobody else may submit a job; ray reads this as it is imported
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

MOST_SECONDS_IN_RAY = 12  # that a job may wait
SLURM = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def unavailable(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def end_all(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started, as a host dies whose power is cut."""
    with suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family, timeout=10)
    process.wait()


@contextmanager
def daemon(log: Path, *command: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        end_all(process)


@contextmanager
def slurm() -> Iterator[None]:
    """A Slurm with one node of two CPUs, which the commands of this process and of its children reach."""
    missing = [name for name in SLURM if not shutil.which(name)]
    if missing:
        unavailable(f"no {missing[0]} here: install Debian's slurm-wlm")
    with TemporaryDirectory(prefix="slurm") as name, pytest.MonkeyPatch.context() as patch, ExitStack() as daemons:
        folder = Path(name)
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        for command in _slurm_in(folder):
            daemons.enter_context(daemon(folder / "log", *command))
        try:
            wait_until(lambda: "idle" in asked("sinfo", "--noheader"), "its node is idle", 20)
        except AssertionError:
            unavailable(f"Slurm does not start here: {(folder / 'log').read_text()[-300:]}")
        try:
            yield
        finally:
            asked("scancel", "--me")
            wait_until(lambda: not asked("squeue", "--noheader"), "no job is left", 40)


def _slurm_in(folder: Path) -> Iterator[list[str]]:
    """Its daemons, which keep everything in this folder; each is to be started before the next one is asked for."""
    host, key = platform.node().partition(".")[0], folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    places = {"key-file": key, "socket": folder / "munge.socket", "log-file": folder / "munge.log"}
    places |= {"pid-file": folder / "munge.pid", "seed-file": folder / "munge.seed"}
    yield ["munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in places.items())]
    wait_until(places["socket"].exists, "munged answers", 10)
    (folder / "state").mkdir()
    configuration = CONFIGURATION.format(host=host, user=getpass.getuser(), folder=folder, ports=free_ports(2))
    (folder / "slurm.conf").write_text(configuration)
    yield ["slurmctld", "-D", "-c"]
    yield ["slurmd", "-D", "-c", "-N", host]


def asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout


@dataclass
class Ray:
    """Its head, with two CPUs and the dashboard, and a second node with one CPU, each with all of its processes."""

    address: str
    second: subprocess.Popen[bytes]


@contextmanager
def ray() -> Iterator[Ray]:
    if not find_spec("ray"):
        unavailable("no ray here: pip install -r tests/requirements.txt")
    gcs, dashboard, client = free_ports(3)
    small = ("--object-store-memory=80000000", "--disable-usage-stats", "--dashboard-agent-listen-port=0")
    common = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *small)
    ports = (f"--port={gcs}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}")
    both = ("--node-ip-address=127.0.0.1", "--min-worker-port=0", "--max-worker-port=0")
    # A node that is gone and a job that can't be placed are found out within seconds, not within minutes.
    checks = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
    checks["RAY_JOB_START_TIMEOUT_SECONDS"] = str(MOST_SECONDS_IN_RAY)
    with TemporaryDirectory(prefix="ray", dir="/tmp") as name:  # whose sockets have names of at most 107 characters
        log = Path(name) / "log"
        head = daemon(log, *common, "--head", "--num-cpus=2", f"--temp-dir={name}", *ports, *both, **checks)
        second = daemon(log, *common, f"--address=127.0.0.1:{gcs}", "--num-cpus=1", *both, **checks)
        with head:
            wait_until(lambda: _answers(dashboard), f"Ray has started: {log.read_text()}", 60)
            with second as process:
                wait_until(lambda: log.read_text().count("Ray runtime started") == 2, "its second node has joined", 40)
                yield Ray(f"ray://127.0.0.1:{dashboard}", process)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
