"""One run on two hosts, which are network namespaces with a wire between them, through a torchrun on each."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.support.commands import Capture, answered
from tests.support.engines import unavailable
from tests.support.exact import epoch_rows, load, same
from tests.support.processes import ROOT, wait_for_end, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
FIRST, SECOND = (f"fashion-{letter}-{os.getpid()}" for letter in "ab")
HOSTS = {FIRST: "10.211.77.1", SECOND: "10.211.77.2"}
PORT = 29400
WIRE = "wire"
SETTINGS = ("--model=cnn", "--optimizer=adam", "--train-images=1300", "--batch-size=61", "--epochs=2", "--threads=1")


@pytest.fixture(scope="module")
def hosts() -> Iterator[None]:
    """Each with one end of the wire, and no other way out."""
    one, other = HOSTS
    try:
        for host in HOSTS:
            _ip("netns", "add", host)
        _ip("link", "add", WIRE, "netns", one, "type", "veth", "peer", "name", WIRE, "netns", other)
        for host, address in HOSTS.items():
            _ip("-n", host, "address", "add", f"{address}/24", "dev", WIRE)
            for device in ("lo", WIRE):
                _ip("-n", host, "link", "set", device, "up")
    except (OSError, subprocess.CalledProcessError):
        _remove_hosts()
        unavailable("two hosts need network namespaces, and this user may not make any, or iproute2 is not here")
    yield
    _remove_hosts()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _remove_hosts() -> None:
    for host in HOSTS:
        with suppress(OSError):
            subprocess.run(["ip", "netns", "delete", host], capture_output=True, check=False)


@contextmanager
def launched(run: Run) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """A torchrun on each host that continues the run, and prints beside it; ended by their pids."""
    rendezvous = ["--rdzv-backend=c10d", f"--rdzv-endpoint={HOSTS[FIRST]}:{PORT}", f"--rdzv-id={run.id}"]
    size = ["--nnodes=2", "--nproc-per-node=1", "--max-restarts=3"]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": WIRE, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    found = {}
    for host, address in HOSTS.items():
        # Names lead nowhere here: torchrun can't tell by them whose the address of the rendezvous is.
        place = [f"--local-addr={address}", f"--rdzv-conf=is_host={address == HOSTS[FIRST]}"]
        torchrun = [sys.executable, "-m", "torch.distributed.run", *size, *rendezvous, *place]
        command = ["ip", "netns", "exec", host, *torchrun, "-m", "fashion_core", "continue", run.id]
        with printed(run, host).open("wb") as output:
            found[host] = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=output)
    try:
        yield found
    finally:
        for process in found.values():
            process.kill()
            process.wait()


def printed(run: Run, host: str) -> Path:
    return run.path.with_name(f"{run.id}-{host}.log")


def made(store: RunStore, capsys: Capture, *more: str) -> Run:
    asked = (*SETTINGS, *more, "--device=cpu", "--processes=2", "--no-start")
    run = store.get(answered(capsys, "train", *asked)["id"])
    assert run.state() == "stopped"
    return run


def test_a_process_killed_on_one_host_restarts_both_and_changes_no_bit(
    hosts: None, store: RunStore, capsys: Capture
) -> None:
    straight, run = made(store, capsys), made(store, capsys)
    with launched(straight) as torchruns:
        assert [process.wait(200) for process in torchruns.values()] == [0, 0]
    with launched(run) as torchruns:
        wait_until(lambda: (run.status.epoch, run.status.batch) >= (1, 2), "it is in its second epoch", 100)
        (rank,) = psutil.Process(torchruns[SECOND].pid).children()
        rank.send_signal(signal.SIGKILL)
        assert [process.wait(200) for process in torchruns.values()] == [0, 0]
    for one in (straight, run):
        wait_for_end(one)
        assert one.status.state == "finished"
    assert (straight.status.restarts, run.status.restarts) == (0, 1)
    assert same(load(run.weights_path), load(straight.weights_path))
    assert same(epoch_rows(run), epoch_rows(straight))


def test_a_loss_of_nan_ends_both_hosts_in_order_with_one_sentence_on_each(
    hosts: None, store: RunStore, capsys: Capture
) -> None:
    run = made(store, capsys, "--optimizer=sgd", "--learning-rate=1e6")
    with launched(run) as torchruns:
        assert [process.wait(100) for process in torchruns.values()] == [0, 0]
    assert (run.status.state, run.status.restarts) == ("failed", 0)
    said = [line for host in HOSTS for line in printed(run, host).read_text().splitlines() if "fashion_core: " in line]
    assert said == [f"fashion_core: {run.status.error}"] * len(HOSTS)
