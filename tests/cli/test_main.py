"""The command line: each bad input gets one line, each ``--json`` one document."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from fashion_core import devices
from fashion_core.access import audit
from fashion_core.cli.main import main
from fashion_core.config import settings
from fashion_core.data import fashion_mnist
from fashion_core.runs import queue
from fashion_core.runs.index.index import AT_ONCE
from fashion_core.runs.processes import TORCHRUN_VARIABLES
from fashion_core.runs.schema import Labels
from fashion_core.runs.store import RunStore
from fashion_core.training import torchrun
from tests.benchmarks.stores import fill_with_links
from tests.support.commands import Capture, answered, printed, refused
from tests.support.files import change_json, flip_a_bit, small_disk
from tests.support.processes import ROOT, command_line, wait_until
from tests.support.runs import After, config, new_run, resume, set_running, set_state, train
from tests.support.runs import trained as trained_run

SMALL = ("--train-images", "500", "--device", "cpu", "--threads", "1")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--learning-rate", "-1"), "Learning rate should be greater than 0, not '-1'."),
        (("--batch-size", "12001"), "Batch size 12,001 is larger than the 12,000 training images"),
        (("--device", "cuda:77"), "There is no device cuda:77 on this machine; choose one of auto, "),
        (
            ("--dataset", "cifar"),
            "There is no dataset cifar here: choose one of synthetic, fashion-mnist, or add it (again) with "
            "`data add`.",
        ),
        (("--model", "vgg"), "There is no model vgg here: choose one of mlp, cnn, resnet18, or set FASHION_MODELS to"),
        (("--dataset", "../up"), "Dataset should be a name such as my-dataset, not"),
        (("--dataset", "fashion-mnist"), "Fashion-MNIST is not in "),
        (("--name", "a\nb"), "Name should be one line of printable characters, not 'a\\nb'."),
    ],
    ids=str,
)
def test_bad_setting_is_one_line_and_leaves_nothing(
    store: RunStore, capsys: Capture, flags: tuple[str, ...], sentence: str
) -> None:
    assert refused(capsys, "train", *flags).startswith(sentence)
    assert not store.root.exists()


@pytest.mark.parametrize(
    "arguments",
    ["", "fly", "train --speed 3", "train --epochs", "train --preset unknown", "show", "delete run first"],
)
def test_wrong_usage_exits_with_two(store: RunStore, capsys: Capture, arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments.split())
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err
    assert not store.root.exists()


def test_refusal_as_the_shell_sees_it(store: RunStore) -> None:
    done = command_line("train", "--learning-rate", "-1", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fashion_core: Learning rate should be greater than 0, not '-1'.\n"
    assert not store.root.exists()


@pytest.mark.parametrize("damage", ["missing", "truncated", "altered"])
def test_damaged_data_is_one_line_and_leaves_nothing(
    store: RunStore, capsys: Capture, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setenv("FASHION_DATA", str(real_data))
    *others, found = [fashion_mnist.find(archive) for archive in fashion_mnist.ARCHIVES]
    monkeypatch.setenv("FASHION_DATA", str(tmp_path))
    for path in others:
        (tmp_path / path.name).symlink_to(path)
    last = tmp_path / found.name
    if damage != "missing":
        shutil.copy(found, last)
        flip_a_bit(last) if damage == "altered" else os.truncate(last, last.stat().st_size - 1)
    sentence = refused(capsys, "train", "--dataset", "fashion-mnist")
    assert last.name in sentence
    assert fashion_mnist.HOW_TO_GET_IT in sentence
    assert not store.root.exists()


def test_download_without_a_network_is_one_line(store: RunStore, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # held, and nobody listens
        proxy = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        done = command_line("download", FASHION_DATA=str(tmp_path / "data"), http_proxy=proxy, no_proxy="")
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not be fetched" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == [".download.lock"]


@pytest.mark.parametrize("command", [("train", *SMALL), ("runs",)], ids=["train", "runs"])
def test_file_where_the_store_should_be_is_one_line(store: RunStore, capsys: Capture, command: tuple[str, ...]) -> None:
    store.root.write_bytes(b"")
    assert "choose another folder" in refused(capsys, *command)
    assert store.root.read_bytes() == b""


def test_store_on_a_full_or_read_only_disk_is_one_line_and_leaves_nothing(
    store: RunStore, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        (disk / "other").write_bytes(bytes(64 * 1024))
        monkeypatch.setenv("FASHION_RUNS", str(disk / "runs"))
        assert "the disk is full" in refused(capsys, "train", *SMALL)
        assert RunStore().runs() == []
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert "read-only disk" in refused(capsys, "train", *SMALL)


@pytest.mark.parametrize("command", ["show", "continue", "stop", "delete"])
@pytest.mark.parametrize("run_id", ["20200101-000000-000-0000", "../outside", "", "/"])
def test_unknown_run_is_one_line(store: RunStore, capsys: Capture, command: str, run_id: str) -> None:
    new_run(store)
    advice = "look for it on the Overview page, or with `python -m fashion_core runs`."
    assert refused(capsys, command, run_id) == f"No run in {store.root} has the id {run_id!r}; {advice}"
    assert len(store.runs()) == 1


@pytest.mark.parametrize("command", ["show", "continue"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [({"colour": "red"}, "colour is not a setting of this version"), ({"environment": ...}, "environment is missing")],
    ids=["unknown field", "missing field"],
)
def test_wrong_field_of_run_json_is_one_line(
    store: RunStore, capsys: Capture, command: str, content: dict[str, Any], reason: str
) -> None:
    run = new_run(store)
    set_state(run, "stopped")
    change_json(run.record_path, **content)
    assert refused(capsys, command, run.id) == f"{run.record_path} is damaged: {reason}."
    assert run.state() == "stopped"


def test_name_drives_no_terminal(store: RunStore, capsys: Capture) -> None:
    run = new_run(store)
    run.write_labels(Labels(name="\x1b]0;owned\x07"))
    for arguments in (("runs",), ("show", run.id)):
        assert "\x1b" not in printed(capsys, *arguments)[0]


@pytest.mark.parametrize("name", ["run.json", "labels.json", "status.json"])
@pytest.mark.parametrize("damage", ["{", None], ids=["torn", "missing"])
def test_damaged_run_is_listed_beside_the_good_ones(
    store: RunStore, capsys: Capture, name: str, damage: str | None
) -> None:
    good, bad = new_run(store), new_run(store)
    (bad.path / name).unlink()
    if damage:
        (bad.path / name).write_text(damage)
    records = {record["id"]: record for record in answered(capsys, "runs")}
    state = "lost" if (name, damage) == ("status.json", "{") else "damaged"  # a torn status can be written anew
    assert (records[good.id]["state"], records[bad.id]["state"]) == ("queued", state)
    assert name in records[bad.id]["error"]
    assert main(["runs"]) == 0


def test_show_of_a_resumed_run_says_what_it_was_resumed_from(store: RunStore, capsys: Capture) -> None:
    parent = trained_run(store, name="base", epochs=1)
    child = resume(store, parent, 0, 1)
    assert f"resumed from: epoch 0 of {parent.id} (base), exact" in printed(capsys, "show", child.id)[0]


def test_empty_store_lists_nothing(store: RunStore, capsys: Capture) -> None:
    assert answered(capsys, "runs") == []
    assert not store.root.exists()


@pytest.mark.parametrize("arguments", [["--help"], ["fly"], ["import", "--help"]])
def test_commands_of_the_server_are_listed_nowhere(capsys: Capture, arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    shown = "".join(capsys.readouterr())
    assert "import" in shown
    assert "importer" not in shown
    assert "predictor" not in shown


def test_every_setting_has_its_flag(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    words = capsys.readouterr().out
    assert all(setting.flag in words for setting in settings())


@pytest.mark.parametrize(
    ("state", "command", "sentence"),
    [
        ("queued", "continue {}", "is queued; only a stopped, failed or lost run can continue"),
        ("finished", "continue {}", "is finished; only a stopped, failed or lost run can continue"),
        ("stopped", "stop {}", "there is nothing to stop"),
        ("running", "delete {}", "is running; stop it first"),
        ("finished", "delete {} 7", "has no saved file model_save/7"),
        ("finished", "delete {} -1", "has no saved file model_save/-1"),
    ],
)
def test_what_a_run_in_this_state_can_not_do_is_one_line(
    store: RunStore, capsys: Capture, state: str, command: str, sentence: str
) -> None:
    run = new_run(store)
    set_running(run) if state == "running" else set_state(run, state)
    assert sentence in refused(capsys, *command.format(run.id).split())
    assert run.state() == state


def test_run_that_is_not_to_start_here_may_have_more_processes_than_this_machine(
    store: RunStore, capsys: Capture
) -> None:
    record = answered(capsys, "train", "--processes", 64, "--device", "cpu", "--no-start")
    run = store.get(record["id"])
    assert (record["state"], run.state(), run.record.config.processes) == ("stopped", "stopped", 64)
    assert "64 processes are more than" in refused(capsys, "continue", run.id)
    assert run.state() == "stopped"
    main(["show", run.id])
    assert torchrun.command(run.id) in capsys.readouterr().out


def test_process_of_torchrun_without_its_run_says_so_and_asks_for_no_restart(store: RunStore) -> None:
    started = dict.fromkeys(TORCHRUN_VARIABLES, "0")
    done = command_line("continue", "nope", **started)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "nope" in done.stderr


def test_resumed_run_may_be_left_for_other_machines_too(store: RunStore, capsys: Capture) -> None:
    parent = trained_run(store, epochs=1)
    record = answered(capsys, "resume", parent.id, 0, "--processes", 64, "--no-start")
    assert (record["state"], record["parent"]) == ("stopped", {"run": parent.id, "epoch": 0})


def test_stop_of_a_queued_run_gives_its_record(store: RunStore, capsys: Capture) -> None:
    assert answered(capsys, "stop", new_run(store).id)["state"] == "stopped"


def test_runs_lists_the_newest_thousand_and_says_so_unless_asked_for_all(store: RunStore, capsys: Capture) -> None:
    fill_with_links(store, AT_ONCE + 2)
    main(["runs"])
    listed = capsys.readouterr()
    assert [line.split()[0] for line in listed.out.splitlines()] == store.ids()[:AT_ONCE]
    assert listed.err == "These are the newest 1,000 of 1,002 runs; --all lists every one.\n"
    main(["runs", "--all"])
    every = capsys.readouterr()
    assert [line.split()[0] for line in every.out.splitlines()] == store.ids()
    assert (every.out.splitlines()[:AT_ONCE], every.err) == (listed.out.splitlines(), "")


def test_delete_of_a_run_leaves_nothing_but_its_line_in_the_audit(store: RunStore, capsys: Capture) -> None:
    run = new_run(store)
    assert answered(capsys, "delete", run.id) == {"run": run.id, "epoch": None, "deleted": True}
    assert {path.name for path in store.root.iterdir()} == {".queue.lock", audit.NAME}
    user = f"command line ({psutil.Process().username()})"
    assert [(line.who, line.what, line.run) for line in audit.read(store.root)] == [(user, "delete", run.id)]


def test_delete_of_an_epoch_leaves_its_numbers(store: RunStore, capsys: Capture) -> None:
    run = trained_run(store, epochs=2)
    answered(capsys, "delete", run.id, "0")
    epochs = answered(capsys, "show", run.id)["epochs"]
    assert [epoch["checkpoint"] for epoch in epochs] == [None, str(run.checkpoint_path(1))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, synthetic_data: Path) -> subprocess.CompletedProcess[str]:
    runs = tmp_path_factory.mktemp("store") / "runs"
    return command_line("train", *SMALL, "--json", FASHION_RUNS=str(runs), FASHION_DATA=str(synthetic_data))


def test_train_prints_one_document_and_leaves_a_run_folder_as_designed(
    trained: subprocess.CompletedProcess[str],
) -> None:
    assert (trained.returncode, trained.stderr) == (0, "")
    record = json.loads(trained.stdout)
    assert {"id", "path", "state", "parent", "config", "epochs"} <= set(record)
    assert (record["state"], record["parent"]) == ("finished", None)
    epochs = record["epochs"]
    keys = {"epoch", "loss", "accuracy", "train_loss", "seconds", "samples_per_second", "checkpoint"}
    assert [set(epoch) for epoch in epochs] == [keys, keys]
    assert [epoch["epoch"] for epoch in epochs] == [0, 1]
    assert all(Path(epoch["checkpoint"]).is_file() for epoch in epochs)
    assert all(0 < epoch["loss"] < 3 for epoch in epochs)
    assert all(0 <= epoch["accuracy"] <= 1 for epoch in epochs)
    folder = Path(record["path"])
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"lock"}
    assert found == {
        *("run.json", "labels.json", "status.json", "metrics.jsonl", "train.log"),
        *("model_save/0", "model_save/0.json", "model_save/1", "model_save/1.json"),
        *("model_weights.pth", "model_weights.pth.json", "model.pth", "model.pth.json"),
    }


def test_show_gives_the_record_that_train_gave(trained: subprocess.CompletedProcess[str], capsys: Capture) -> None:
    record = json.loads(trained.stdout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASHION_RUNS", str(Path(record["path"]).parent))
        assert answered(capsys, "show", record["id"]) == record
        assert answered(capsys, "runs") == [record]


def test_diverging_run_ends_failed_with_one_line_and_its_record(store: RunStore, capsys: Capture) -> None:
    assert main(["train", *SMALL, "--learning-rate", "1e9", "--json"]) == 1
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert (record["state"], record["epochs"]) == ("failed", [])
    assert said.err.startswith(f"fashion_core: Run {record['id']} failed: the loss became ")
    assert " at epoch 0, batch " in said.err
    assert said.err.count("\n") == 1


@pytest.mark.slow
def test_full_disk_ends_failed_with_one_line_and_continues_after_room_is_made(store: RunStore, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * 1024) as disk:
        done = command_line("train", *SMALL, "--json", FASHION_RUNS=str(disk))
        record = json.loads(done.stdout)
        assert (done.returncode, record["state"]) == (1, "failed")
        assert "the disk is full; free some space there and try again" in done.stderr
        assert done.stderr.count("\n") == 1
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = command_line("continue", record["id"], "--json", FASHION_RUNS=str(disk))
        assert (again.returncode, json.loads(again.stdout)["state"]) == (0, "finished")


def test_continue_finishes_a_stopped_run_and_prints_its_record(store: RunStore, capsys: Capture) -> None:
    run = new_run(store)
    train(run, After(3))
    queue.stop(run)
    assert answered(capsys, "continue", run.id)["state"] == "finished"


@pytest.mark.slow
def test_interrupted_command_stops_its_run(store: RunStore) -> None:
    command = [sys.executable, "-m", "fashion_core", "train", *SMALL, "--epochs", "3000", "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell's background job ignores the signal.
    pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    watching = subprocess.Popen(command, cwd=ROOT, **pipes)
    try:
        wait_until(lambda: store.runs() and store.runs()[0].epochs_saved(), "it trains")
        watching.send_signal(signal.SIGINT)
        output, errors = watching.communicate(timeout=60)
    finally:
        watching.kill()
    run = store.runs()[0]
    assert (watching.returncode, run.state(), json.loads(output)["state"]) == (1, "stopped", "stopped")
    hint = f"continue it with `python -m fashion_core continue {run.id}`"
    assert errors == f"fashion_core: Run {run.id} is stopped; {hint}.\n"


@pytest.mark.slow
def test_drill_kills_a_run_that_trains_and_tells_that_it_ends_in_the_bits_of_its_twin(
    store: RunStore, capsys: Capture
) -> None:
    run = queue.start(store, config(epochs=8))
    wait_until(run.epochs_saved, "it trains")
    found = answered(capsys, "drill", run.id)
    assert (found["run"], found["same"], found["ours"]) == (run.id, True, found["theirs"])
    assert (run.state(), store.get(found["twin"]).state(), run.status.continued) == ("finished", "finished", 1)
    assert "does not train on this machine right now" in refused(capsys, "drill", run.id)


def test_devices_are_a_line_each_or_one_document(capsys: Capture) -> None:
    cpu = printed(capsys, "devices")[0].splitlines()[-1]
    assert cpu.startswith(f"cpu: {devices.available()['cpu']}, {devices.automatic_threads()} thread")
    found = answered(capsys, "devices")
    assert "cpu" in found["devices"]
    assert cpu.endswith("taken by auto") == (found["automatic"] == "cpu")


def test_model_is_one_document(capsys: Capture) -> None:
    assert answered(capsys, "model", "mlp")["parameters"] == 669_706


@pytest.mark.slow
def test_tutorials_settings_learn_the_real_dataset(store: RunStore, real_data: Path) -> None:
    done = command_line("train", "--dataset", "fashion-mnist", "--epochs", "2", "--json", FASHION_DATA=str(real_data))
    assert (done.returncode, done.stderr) == (0, "")
    epochs = json.loads(done.stdout)["epochs"]
    assert epochs[1]["loss"] < epochs[0]["loss"] < 2.29
    assert epochs[1]["accuracy"] > 0.4
