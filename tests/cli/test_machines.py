"""Any machine: what a terminal can't show, streams that are closed, folders that may not be used, signals."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fashion_core.cli.main import main
from fashion_core.models import NeuralNetwork
from fashion_core.runs import queue
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
from tests.support.commands import Capture, printed, refused
from tests.support.processes import ROOT, command_line, python, wait_for_end, wait_until
from tests.support.runs import new_run, save_file, set_state

NARROW: dict[str, dict[str, str]] = {
    "cp1252": {"PYTHONIOENCODING": "cp1252:strict"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
SMALL = ("--train-images", "500", "--device", "cpu", "--threads", "1")
AS_ANYONE = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def started_by(start: Sequence[str], *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line through another program."""
    command = [*start, sys.executable, "-m", "fashion_core", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    kind: dict[str, Any] = {"capture_output": True, "encoding": "utf-8", "errors": "replace", "timeout": 120}
    return subprocess.run(command, env=environment, **kind)


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("variables", NARROW.values(), ids=NARROW)
def test_every_list_is_printed_where_its_letters_do_not_exist(store: RunStore, variables: dict[str, str]) -> None:
    run = new_run(store)
    run.write_labels(Labels(name="Größe ☃ – می\u200cشود"))
    commands = [("runs",), ("show", run.id), ("train", "--help"), ("runs", "--json")]
    done = [started_by((), *command, **variables) for command in commands]
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * len(commands)
    assert json.loads(done[-1].stdout)[0]["name"] == "Größe ☃ – می\u200cشود"
    assert one_sentence(started_by((), "show", "☃", **variables)).startswith("fashion_core: No run in ")


def test_setting_is_read_as_it_was_typed_whatever_the_locale(store: RunStore) -> None:
    """The device is refused, so nothing is trained: the name is refused first if it can't be read."""
    done = command_line("train", "--name", "Größe ☃", "--device", "cuda:77", **NARROW["C"])
    assert "no device cuda:77" in one_sentence(done)


def test_key_of_weights_is_read_as_it_was_typed_whatever_the_locale(tmp_path: Path) -> None:
    weights = NeuralNetwork().state_dict()
    torch.save({"größe ☃": weights, "model": weights}, tmp_path / "two.pth")
    done = started_by((), "inspect", str(tmp_path / "two.pth"), "--weights", "größe ☃", "--json", **NARROW["C"])
    assert json.loads(done.stdout)["weights"] == "größe ☃"


NUMBER_THAT_A_WORKER_INHERITS = """
import os, sys
from fashion_core.__main__ import main
sys.argv[1:] = ["runs", "--json"]
main()
print(os.environ.get("OPENBLAS_NUM_THREADS"))
"""


def test_threads_that_numpy_does_without_are_not_taken_from_a_worker(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert python(NUMBER_THAT_A_WORKER_INHERITS).stdout == "[]\nNone\n"
    assert python(NUMBER_THAT_A_WORKER_INHERITS, OPENBLAS_NUM_THREADS="3").stdout == "[]\n3\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("runs", 0),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("show nothing", 1), ("--help", 0), ("fly", 2))),
    ],
)
def test_closed_stream_changes_nothing_else(store: RunStore, closed: str, command: str, status: int) -> None:
    done = started_by(("sh", "-c", f'exec "$@" {closed}', "sh"), *command.split())
    assert done.returncode == status
    assert "Traceback" not in done.stdout + done.stderr
    assert "fashion_core: No run" not in done.stdout  # an error never stands where the answer is read


@pytest.mark.parametrize("command", ["runs", "--help", "train --help"])
def test_reader_that_leaves_early_hears_no_more(store: RunStore, command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    line = [sys.executable, "-m", "fashion_core", *command.split()]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(line, cwd=ROOT, env=buffered, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
@pytest.mark.parametrize("command", ["runs", "runs --json", "--help"])
def test_output_that_cannot_be_written_is_one_sentence(store: RunStore, command: str) -> None:
    said = one_sentence(started_by(("sh", "-c", 'exec "$@" > /dev/full', "sh"), *command.split(), PYTHONUNBUFFERED=""))
    assert said.startswith("fashion_core: standard output can't be used: ")


EVIL = "e\x1b[31mvil\nX\u202egnp\udcff.pth"


@pytest.mark.parametrize(
    ("command", "good"),
    [("inspect", True), ("inspect", False), ("import", True), ("import", False), ("evaluate", False)],
)
def test_name_of_a_file_is_one_harmless_line(
    store: RunStore, tmp_path: Path, capsys: Capture, command: str, good: bool
) -> None:
    path = tmp_path / EVIL
    saved = tmp_path / "e\x1b[31mvil\nX\u202egnp.pth"  # torch writes the name into the file
    torch.save(NeuralNetwork().state_dict(), saved) if good else saved.write_bytes(b"nothing")
    saved.rename(path)
    main([command, str(path)])
    said = "".join(capsys.readouterr())
    assert not {"\x1b", "\u202e", "\udcff"} & set(said)
    assert not any(line.startswith("X") for line in said.splitlines())
    assert "e�[31mvil�X�gnp�.pth" in said or command == "import" or not good


def test_names_that_a_shell_adds_to_a_command_are_one_harmless_line(store: RunStore) -> None:
    done = command_line("inspect", "a.pth", EVIL)
    assert done.returncode == 2
    assert "e�[31mvil�X�gnp�.pth" in done.stderr


def test_store_with_a_harmful_name_is_told_harmless(store: RunStore, capsys: Capture, monkeypatch: Any) -> None:
    monkeypatch.setenv("FASHION_RUNS", str(store.root / "a\x1b]0;b\x07"))
    assert "a�]0;b�" in refused(capsys, "show", "nothing")


EACH_COMMAND = """
import contextlib, io, json, os, sys
from fashion_core.cli.main import main
told = []
for command, variables in json.loads(sys.argv[1]):
    before = dict(os.environ)
    os.environ.update(variables)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        status = main(command.split())
    told.append((command, status, said.getvalue()))
    os.environ.clear()
    os.environ.update(before)
print(json.dumps(told))
"""
"""Runs several commands in one process that anyone may have started, and prints what each ended with and said."""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("setpriv"), reason="the tests may run as root, who may enter every folder")
def test_folder_that_may_not_be_entered_is_one_sentence(store: RunStore, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "runs").mkdir(parents=True)
    closed.chmod(0)
    file, inside = str(closed / "runs" / "a.pth"), {"FASHION_RUNS": str(closed / "runs")}
    of_file: list[tuple[str, dict[str, str]]] = [
        (command, {}) for command in (f"inspect {file}", f"import {file}", f"predict {file} {file}")
    ]
    of_store = [(command, inside) for command in ("runs", "show 2", "compare", "audit", "verify", "train")]
    of_data = [(f"evaluate {file}", {}), ("train --dataset fashion-mnist", {"FASHION_DATA": str(closed / "data")})]
    commands = json.dumps([*of_file, *of_store, *of_data])
    try:
        start = [*AS_ANYONE, sys.executable, "-c", EACH_COMMAND, commands]
        done = subprocess.run(start, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120)
        said = json.loads(done.stdout)
    finally:
        closed.chmod(0o700)
    assert len(said) == 11
    for command, status, words in said:
        assert (status, words.count("\n")) == (1, 1), (command, words)
        assert "permission" in words, (command, words)


@pytest.mark.parametrize("variable", ["FASHION_RUNS", "FASHION_DATA"])
def test_deleted_working_folder_is_one_sentence(store: RunStore, tmp_path: Path, variable: str) -> None:
    start = ("sh", "-c", 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"', str(tmp_path / "gone"))
    command = ("runs",) if variable == "FASHION_RUNS" else ("train", "--dataset", "fashion-mnist")
    said = one_sentence(started_by(start, *command, **{variable: ""}))
    assert "The working folder can't be used" in said
    assert started_by(start, "--help").returncode == 0


@pytest.mark.parametrize("command", ["inspect {}", "import {}", "evaluate {}", "predict {} {}", "show {}", "delete {}"])
def test_name_that_is_too_long_is_told_in_one_line(store: RunStore, capsys: Capture, command: str) -> None:
    assert "a" * 300 in refused(capsys, *command.format(*["a" * 300] * 2).split())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_command_that_is_ended_says_that_training_goes_on(store: RunStore, number: int, status: int) -> None:
    command = [sys.executable, "-m", "fashion_core", "train", *SMALL, "--epochs", "3000", "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    pipes["preexec_fn"] = lambda: signal.signal(number, signal.SIG_DFL)  # nohup ignores the signal
    watching = subprocess.Popen(command, cwd=ROOT, **pipes)
    try:
        wait_until(lambda: store.runs() and store.runs()[0].epochs_saved(), "it trains")
        watching.send_signal(number)
        output, errors = watching.communicate(timeout=60)
    finally:
        watching.kill()
    (run,) = store.runs()
    assert (watching.returncode, output, errors.count("\n")) == (status, "", 1)
    assert f"Training goes on without this command, in {run.id}; `python -m fashion_core stop {run.id}`" in errors
    newest = run.epochs_saved()[-1]
    wait_until(lambda: run.epochs_saved()[-1] > newest, "it goes on")
    queue.stop(run)
    wait_for_end(run)
    assert run.state() == "stopped"


def test_name_may_hold_the_joiners_that_its_script_needs(store: RunStore, capsys: Capture) -> None:
    """Persian and Hindi are not spelled right without them, and an emoji falls apart into several."""
    run = new_run(store, name="می\u200cشود क्\u200dष 👩\u200d💻")
    set_state(run, "finished")
    assert "می\u200cشود क्\u200dष 👩\u200d💻" in printed(capsys, "runs")[0]
    printed(capsys, "delete", run.id)


FEW_PROCESSES = (
    *("setpriv", "--reuid", "54321", "--clear-groups", "--inh-caps=-all,+dac_override,+dac_read_search"),
    *("--ambient-caps=-all,+dac_override,+dac_read_search", "--bounding-set=-all,+dac_override,+dac_read_search"),
    *("prlimit", "--nproc=1"),
)
"""As a user who may run one process alone, which holds for nobody who is root."""


def test_command_for_which_no_process_can_be_started_is_one_sentence(store: RunStore) -> None:
    if not shutil.which("setpriv") or subprocess.run([*FEW_PROCESSES, "true"], capture_output=True).returncode:
        pytest.skip("only root can become a user who may run no more processes")
    said = one_sentence(started_by(FEW_PROCESSES, "train", *SMALL))
    assert said.startswith("fashion_core: No process can be started: this user may run no more of them; ")
    save_file(run := new_run(store), run.checkpoint_path(0))
    said = one_sentence(started_by(FEW_PROCESSES, "verify"))
    assert said.startswith("fashion_core: No thread can be started: this user may run no more of them; ")


@pytest.mark.skipif(not shutil.which("unshare"), reason="a quota that holds for one command needs unshare")
def test_quota_of_this_machine_is_the_number_of_threads() -> None:
    mount = "mount -t tmpfs none /sys/fs/cgroup && echo 150000 100000 > /sys/fs/cgroup/cpu.max"
    start = ("unshare", "--mount", "--map-root-user", "sh", "-c", f'{mount} || exit 99; exec "$@"', "sh")
    done = started_by(start, "devices", "--json")
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("no mount namespace can be made here")
    assert json.loads(done.stdout)["threads"] == 1
