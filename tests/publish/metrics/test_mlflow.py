"""Runs on a real MLflow server over SQLite, read back by MLflow's own client; both in an environment of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from fashion_core import files
from fashion_core.errors import WorkerError
from fashion_core.formats.weight_change import weight_change
from fashion_core.publish.metrics import mlflow_client, mlflow_runs, rows
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from tests.publish.metrics.conftest import Family
from tests.support.commands import Capture, answered, refused
from tests.support.engines import end_all, free_ports, unavailable
from tests.support.processes import ROOT, wait_until
from tests.support.runs import copied

INSTALL = "python3 -m venv .venv-mlflow && .venv-mlflow/bin/pip install 'mlflow>=3.10,<4'"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
READ = """
import json, mlflow, sys
client, found = mlflow.MlflowClient(), {}
[experiment] = [one for one in client.search_experiments() if one.name == "Fashion Core"]
for run in client.search_runs([experiment.experiment_id]):
    history = {}
    for key in run.data.metrics:
        history[key] = [(m.step, m.timestamp, m.value) for m in client.get_metric_history(run.info.run_id, key)]
    models = []
    for output in run.outputs.model_outputs:
        folder = f"{sys.argv[1]}/{output.model_id}"
        mlflow.artifacts.download_artifacts(f"models:/{output.model_id}", dst_path=folder)
        model = client.get_logged_model(output.model_id)
        described = mlflow.models.get_model_info(f"models:/{output.model_id}").flavors
        models.append([model.name, model.status.value, model.params, f"{folder}/model.safetensors", described])
    found[run.data.tags["fashion_core.run_id"]] = {
        "id": run.info.run_id, "name": run.info.run_name, "status": run.info.status, "params": run.data.params,
        "parent": run.data.tags.get("mlflow.parentRunId"), "history": history, "models": models,
        "times": [run.info.start_time, run.info.end_time],
    }
print(json.dumps(found))
"""

CUT = """
import importlib.util, json, mlflow, requests, sys
described = importlib.util.spec_from_file_location("sender", sys.argv[1])
described.loader.exec_module(sender := importlib.util.module_from_spec(described))
lines, real, cut_after, batches, attempts = json.load(sys.stdin), requests.Session.send, set(), [], 0
class Cut(BaseException): pass
def send(session, request, **more):
    answer, body = real(session, request, **more), request.body if isinstance(request.body, (str, bytes)) else ""
    batches.extend([request.url] if request.url.endswith("/log-batch") else [])
    if request.method != "GET" and not request.url.endswith("/search") and (request.url, body) not in cut_after:
        cut_after.add((request.url, body))
        raise Cut
    return answer
requests.Session.send = send
for attempts in range(1, 40):
    try:
        *_, ended = sender.answers(mlflow, iter(lines))
        break
    except Cut:
        pass
client, run = mlflow.MlflowClient(), ended["mlflow_run"]
data, experiment = client.get_run(run), client.get_experiment_by_name("Fashion Core").experiment_id
print(json.dumps({
    "attempts": attempts, "metrics": ended["metrics"], "batches": len(batches), "params": data.data.params,
    "values": [one.value for one in client.get_metric_history(run, "step/train_loss")],
    "models": [one.status.value for one in client.search_logged_models([experiment], f"source_run_id = '{run}'")],
    "outputs": len(data.outputs.model_outputs),
}))
"""


@pytest.fixture(scope="module")
def python() -> str:
    path = ROOT / ".venv-mlflow" / "bin" / "python"
    return str(path) if path.exists() else unavailable(f"MLflow is not here: {INSTALL}")


@pytest.fixture(scope="module")
def server(python: str) -> Iterator[str]:
    [port] = free_ports(1)
    with TemporaryDirectory() as folder:
        places = [f"--backend-store-uri=sqlite:///{folder}/runs.db", f"--artifacts-destination={folder}/artifacts"]
        command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        with (Path(folder) / "log").open("wb") as log, subprocess.Popen(
            [*command, *places], env={**os.environ, **QUIET}, cwd=folder, stdout=log, stderr=log
        ) as process:  # fmt: skip
            try:
                wait_until(lambda: process.poll() is not None or answers(port), "MLflow answers", 120)
                assert process.poll() is None, (Path(folder) / "log").read_text()
                yield f"http://127.0.0.1:{port}"
            finally:
                end_all(process)


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except (URLError, OSError):
        return False


def read_back(python: str, server: str, folder: Path) -> dict[str, Any]:
    """What the server has of each run; its models are fetched into ``folder``, which is made."""
    folder.mkdir()
    environment, command = {**os.environ, **QUIET, "MLFLOW_TRACKING_URI": server}, [python, "-c", READ, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def expected_history(store: RunStore, run: Run) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {}
    for point in rows.points(rows.read(store, run)):
        found.setdefault(point.tag, []).append([point.step, round(point.time * 1000), point.value])
    return {tag: sorted(points) for tag, points in found.items()}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_server_has_every_number_once_and_a_resumed_run_under_its_parent(
    family: Family, store: RunStore, python: str, server: str, tmp_path: Path, capsys: Capture
) -> None:
    """The resumed run is sent before its last row was written, and its checkpoint whole; then whole, then once more."""
    parent, child = copied(family.parent, store), copied(family.child, store)
    written = child.metrics_path.read_bytes()
    child.metrics_path.write_bytes(b"".join(written.splitlines(keepends=True)[:-1]))
    command = ("export-metrics", child.id, "--mlflow", server, "--mlflow-python", python)
    newest = child.checkpoint_path(3)
    info, damaged = child.file_info(newest), {"sha256": "0" * 64}
    assert info
    child.write_info(newest, info.model_copy(update=damaged))
    first = answered(capsys, *command)
    child.metrics_path.write_bytes(written)
    child.write_info(newest, info)
    second, third = answered(capsys, *command), answered(capsys, *command)
    assert [one["run"] for one in first] == [parent.id, child.id]
    assert [one["written"] for one in first] == [15 * 2 + 3 * 7, 20 * 2 + 7]
    assert [one["without_model"] for one in first] == [
        None, f"{newest} is damaged: its SHA-256 is not the one that was recorded."
    ]  # fmt: skip
    assert [one["written"] for one in second] == [0, 7]
    assert [one["written"] for one in third] == [0, 0]
    found = read_back(python, server, tmp_path / "models")
    assert found.keys() == {parent.id, child.id}
    for run in (parent, child):
        there = found[run.id]
        assert (there["name"], there["status"]) == (run.title, "FINISHED")
        assert {tag: sorted(points) for tag, points in there["history"].items()} == expected_history(store, run)
        assert there["params"] == {name: str(value) for name, value in rows.hyperparameters(run).items()}
        assert there["times"][0] == round(run.record.created.timestamp() * 1000)
        epoch = run.record.config.epochs - 1
        [[name, status, params, path, flavors]] = there["models"]
        digest = files.digest_of(Path(path)).sha256
        assert (name, status, params["sha256"]) == (f"epoch-{epoch}", "READY", digest)
        assert weight_change(run.checkpoint_path(epoch), Path(path)).overall == 0
        assert flavors == {"fashion_core": {"data": "model.safetensors", "epoch": epoch}}
    assert found[parent.id]["parent"] is None
    assert found[child.id]["parent"] == found[parent.id]["id"]


@pytest.mark.slow
def test_run_is_there_whole_and_once_though_the_connection_was_cut_after_every_request(
    python: str, server: str, tmp_path: Path
) -> None:
    """Two and a half messages of numbers, a model and parameters; each message of numbers is one request."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    values = [float(step) for step in range(mlflow_client.MOST * 5 // 2)]
    numbers = [["step/train_loss", value, 1_000 + step, step] for step, value in enumerate(values)]
    pieces = [numbers[first : first + mlflow_client.MOST] for first in range(0, len(numbers), mlflow_client.MOST)]
    run = {"id": "cut", "name": "cut", "parent": None, "created": 1_000, "params": {"seed": "0"}, "tags": {}}
    lines: list[dict[str, object]] = [{"experiment": "Fashion Core"}, {"run": run}]
    lines += [{"model": "epoch 0 1a2b", "folder": str(tmp_path), "epoch": 0, "params": {"epoch": "0"}}]
    lines += [{"metrics": piece} for piece in pieces]
    lines += [{"end": 9_000, "status": "FINISHED"}]
    done = subprocess.run(
        [python, "-c", CUT, mlflow_client.__file__], input=json.dumps([json.dumps(line) for line in lines]),
        env={**os.environ, **QUIET, "MLFLOW_TRACKING_URI": server}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])  # MLflow speaks before
    assert found["attempts"] >= 10
    assert (found["metrics"], found["batches"], found["params"]) == (len(values), 1 + len(pieces), {"seed": "0"})
    assert (sorted(found["values"]), found["models"], found["outputs"]) == (values, ["READY"], 1)


@pytest.mark.slow
def test_server_that_does_not_answer_is_one_sentence(
    family: Family, python: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_RUNS", str(family.store.root))
    monkeypatch.setenv("FASHION_MLFLOW_PYTHON", python)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    [port] = free_ports(1)
    said = refused(capsys, "export-metrics", family.parent.id, "--mlflow", f"http://127.0.0.1:{port}")
    assert said.startswith("MLflow at ")
    assert "check that it runs there" in said


@pytest.mark.parametrize(
    ("uri", "python", "said"),
    [
        ("nonsense", sys.executable, "is reached at an address such as http://localhost:5000, not at nonsense"),
        ("http://localhost:1", "/bin/echo", "/bin/echo can't be started as a Python"),
    ],
)
def test_what_is_no_address_or_no_python_is_one_sentence(
    family: Family, capsys: Capture, monkeypatch: pytest.MonkeyPatch, uri: str, python: str, said: str
) -> None:
    monkeypatch.setenv("FASHION_RUNS", str(family.store.root))
    told = refused(capsys, "export-metrics", family.parent.id, "--mlflow", uri, "--mlflow-python", python)
    assert said in told


def test_python_without_mlflow_is_one_sentence_that_says_what_to_install(
    family: Family, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASHION_MLFLOW_PYTHON", raising=False)
    python = mlflow_runs.python_with_mlflow(None)
    assert python == sys.executable
    with pytest.raises(WorkerError, match=r"has no MLflow: `.* -m pip install mlflow-skinny`, or name another with"):
        [*mlflow_runs.send(family.store, [family.parent], "http://127.0.0.1:9", python)]


def test_what_is_no_python_is_one_sentence(family: Family, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="can't be started as a Python"):
        [*mlflow_runs.send(family.store, [family.parent], "http://127.0.0.1:9", str(tmp_path / "none"))]
