"""Send runs to MLflow: run by its path, in any Python that has MLflow or mlflow-skinny, and nothing of this app.

It reads JSON lines from standard input and answers some of them with one: ``{"experiment"}``; then for each run,
parents first, ``{"run"}``, which it answers with the newest model that is there; ``{"model", …}``, which it answers
once that is there too; any number of ``{"metrics": [[key, value, milliseconds, step], …]}``; ``{"end", "status"}``,
which it answers with how many numbers there are and how many it wrote.

A run is known again by the tag ``fashion_core.run_id``. How many of its numbers are there stands in another tag, which
is written together with them: so nothing is there twice, however often this is run and wherever it was interrupted.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

MOST = 999  # numbers in a message: MLflow takes 1,000 things at a time, and the tag with their count is one
RUN, COUNT, MODEL = "fashion_core.run_id", "fashion_core.metrics", "fashion_core.model"
MISSING = 3  # the exit status where this Python has no MLflow
_KIND = "fashion_core"
_MODEL_FILE = """\
flavors:
  fashion_core:
    data: model.safetensors
    epoch: {epoch}
model_id: {model}
run_id: {run}
"""


class Sender:
    """Sends one run after the other to one experiment."""

    def __init__(self, mlflow: Any, experiment: str) -> None:
        self.entities, self.client = mlflow.entities, mlflow.MlflowClient()
        found = self.client.get_experiment_by_name(experiment)
        self.experiment = found.experiment_id if found else self.client.create_experiment(experiment)
        self.known: dict[str, str] = {}  # what MLflow calls each run

    def begin(self, run: dict[str, Any]) -> dict[str, Any]:
        """Make the run, unless it is there, with those of its parameters that are not; none can be changed there."""
        found = self._find(run["id"]) or self._create(run)
        self.run, self.id = run["id"], found.info.run_id
        self.known[self.run] = self.id
        lacking = run["params"].keys() - found.data.params.keys()
        self.client.log_batch(self.id, params=[self.entities.Param(name, run["params"][name]) for name in lacking])
        self.before = self.total = self.skip = int(found.data.tags.get(COUNT, 0))
        return {"model": found.data.tags.get(MODEL)}

    def _find(self, run_id: str) -> Any:
        runs = self.client.search_runs([self.experiment], f"tags.`{RUN}` = '{run_id}'", max_results=1)
        return runs[0] if runs else None

    def _create(self, run: dict[str, Any]) -> Any:
        tags = {RUN: run["id"], **{f"fashion_core.{name}": text for name, text in run["tags"].items()}}
        if parent := self.known.get(run["parent"]):
            tags["mlflow.parentRunId"] = parent
        return self.client.create_run(self.experiment, run["created"], tags, run["name"])

    def add_model(self, model: str, folder: str, epoch: int, params: dict[str, str]) -> dict[str, Any]:
        """Log the files of a folder as a model of the run; one whose logging was cut short is completed."""
        made = self._find_model(model) or self.client.create_logged_model(
            self.experiment, f"epoch-{epoch}", self.id, tags={MODEL: model}, params=params, model_type=_KIND
        )
        described = _MODEL_FILE.format(epoch=epoch, model=made.model_id, run=self.id)
        (Path(folder) / "MLmodel").write_text(described, encoding="utf-8")
        self.client.log_model_artifacts(made.model_id, folder)
        self.client.finalize_logged_model(made.model_id, "READY")
        outputs = self.client.get_run(self.id).outputs
        if made.model_id not in {output.model_id for output in outputs.model_outputs}:
            self.client.log_outputs(self.id, [self.entities.LoggedModelOutput(made.model_id, epoch)])
        self.client.set_tag(self.id, MODEL, model)
        return {"model": model}

    def _find_model(self, model: str) -> Any:
        asked = f"source_run_id = '{self.id}' AND tags.`{MODEL}` = '{model}'"
        found = self.client.search_logged_models([self.experiment], asked, max_results=1)
        return found[0] if found else None

    def add(self, numbers: list[list[Any]]) -> None:
        """Send those that are not there yet, with how many are then."""
        fresh, self.skip = numbers[self.skip :], max(0, self.skip - len(numbers))
        if fresh:
            self.total += len(fresh)
            metrics = [self.entities.Metric(*number) for number in fresh]
            self.client.log_batch(self.id, metrics=metrics, tags=[self.entities.RunTag(COUNT, str(self.total))])

    def end(self, time: int, status: str) -> dict[str, Any]:
        if status in ("FINISHED", "FAILED", "KILLED"):
            self.client.set_terminated(self.id, status, end_time=time)
        else:
            self.client.update_run(self.id, status)
        return {"run": self.run, "mlflow_run": self.id, "metrics": self.total, "written": self.total - self.before}


def answers(mlflow: Any, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    sender = Sender(mlflow, json.loads(next(iter(lines)))["experiment"])
    for line in lines:
        document = json.loads(line)
        if "run" in document:
            yield sender.begin(document["run"])
        elif "model" in document:
            yield sender.add_model(**document)
        elif "metrics" in document:
            sender.add(document["metrics"])
        else:
            yield sender.end(document["end"], document["status"])


def main() -> int:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 -- as ``sys.path`` writes it
    sys.path[:] = [folder for folder in sys.path if folder != here]  # the modules beside this one are no libraries
    try:
        import mlflow
    except ImportError:
        return MISSING
    output, sys.stdout = sys.stdout, sys.stderr  # MLflow tells people what it does
    try:
        for answer in answers(mlflow, sys.stdin):
            print(json.dumps(answer), file=output, flush=True)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
