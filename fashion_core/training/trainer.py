"""Train a run from its current state to its last epoch: starting, continuing and recovering are one path."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial, wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec

import torch
from torch import Tensor, nn

from fashion_core import devices, files, loops
from fashion_core.data import batches as data
from fashion_core.errors import DivergedError
from fashion_core.formats import save
from fashion_core.formats.untrusted.optimizer import FROZEN_KEY
from fashion_core.formats.untrusted.saved_file import DATASET_KEY
from fashion_core.models import build_model, team
from fashion_core.runs import metrics, team_models
from fashion_core.runs.run import Run
from fashion_core.training.captured_step import CapturedStep, CUDAGraphStep, TorchScriptStep
from fashion_core.training.frozen import freeze
from fashion_core.training.group import ALONE, Group, Meetings
from fashion_core.training.group_step import GroupStep
from fashion_core.training.parent import ParentCheckpoint, check_load, read_load_losses
from fashion_core.training.placing import placed
from fashion_core.training.reporting import EpochResult, Position, Reporter
from fashion_core.training.saving import Measured, RunFiles, Saver
from fashion_core.training.shared_layers import share_layers
from fashion_core.training.threads import SteadyStep

Parameters = ParamSpec("Parameters")


def by_leader(method: "Callable[Concatenate[Trainer, Parameters], None]") -> Callable[..., None]:
    """Let one process alone do what writes to the run folder."""

    @wraps(method)
    def done_by_leader(trainer: "Trainer", *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        if trainer.group.leads:
            method(trainer, *args, **kwargs)

    return done_by_leader


class Trainer:
    """Trains one run in this process, or in all processes of a group at once, whose leader must hold the run's lock.

    ``should_stop`` is asked between two batches.
    """

    def __init__(
        self,
        run: Run,
        should_stop: Callable[[], bool],
        images: tuple[data.Images, data.Images] | None = None,
        group: Group = ALONE,
    ) -> None:
        self.run, self.should_stop, self.group = run, should_stop, group
        self.record, self.status = run.record, run.status
        self.config = self.record.config
        devices.make_reproducible(self.record.environment.threads)
        self.device = group.device(devices.resolve(self.record.environment.device))
        train_images, test_images = images or data.load(self.config.dataset)
        self.train_images = train_images.first(self.config.train_images).to(self.device)
        self.test_images = test_images.to(self.device)
        name, shape = self.config.model, self.record.description.shape
        self.model = build_model(name, self.config.seed, shape).to(self.device)
        self.can_be_whole = True
        if self.record.model_sha256:
            team.check_imported(name, self.record.model_sha256)
            self.can_be_whole = team_models.info(name, shape).whole is not None
        if group.size > 1:
            share_layers(self.model, group, self._images_in_batch)
        if not self.record.model_sha256:  # a team's own may look at memory as it was written for
            layout = devices.layout(self.device, self.config.precision)
            self.model.to(memory_format=layout)  # type: ignore[call-overload]
        self.still = freeze(self.model, run)
        self.optimizer = loops.make_optimizer(self.config, self.model)
        self.train_step = self._make_train_step()
        self.evaluating: Callable[[], AbstractContextManager[None]] = nullcontext
        if self.device.type == "cpu" and self.config.threads == 0 and isinstance(self.train_step, CapturedStep):
            self._follow_the_machine(self.train_step)
        self.saver, self.run_files, self.someone_waits = Saver(), RunFiles(run), True
        self.position = Position(self.record.first_epoch)
        self.measured: EpochResult | None = None
        self.random_state: dict[str, Tensor] | None = None

    def _make_train_step(self) -> loops.Step:
        bf16 = self.config.precision == "bf16"
        autocast = torch.autocast(self.device.type, dtype=torch.bfloat16) if bf16 else loops.NO_AUTOCAST
        step = loops.TrainStep(self.model, nn.CrossEntropyLoss(), self.optimizer, autocast)
        if self.group.size > 1:
            return GroupStep(step, self.group, self._images_in_batch, self.device)
        if self.record.model_sha256:  # what a team's own does in Python is done at each step
            return step
        captured = {"cuda": CUDAGraphStep, "cpu": TorchScriptStep}.get(self.device.type)
        return captured(step, self.config.batch_size, self.device) if captured else step

    def _images_in_batch(self) -> int:
        return self.config.images_in_batch(self.position.batch)

    def _follow_the_machine(self, step: CapturedStep) -> None:
        """Train with as many threads as suit the moment, where their number changes no bit."""
        config, environment = self.config, self.record.environment
        one_batch = self.test_images.first(data.EVALUATION_BATCH)
        steady = SteadyStep(
            step,
            environment.threads,
            rest=config.images_per_epoch % config.batch_size or config.batch_size,
            evaluate=lambda: self._evaluate_on(one_batch).losses,
            keep=self._keep_threads if environment.threads_open else None,
        )
        self.train_step, self.evaluating = steady, steady.evaluating

    def _keep_threads(self, threads: int) -> None:
        """Write the number down before anything is trained with it: the run continues and is resumed with it."""
        changed = {"threads": threads, "threads_open": False}
        environment = self.record.environment.model_copy(update=changed)
        self.record = self.record.model_copy(update={"environment": environment})
        self.run.write_record(self.record)

    def train(self) -> Literal["finished", "stopped"]:
        """Train until the last epoch is saved or a stop is requested. Raises ``DivergedError`` or ``DiskError``."""
        self._restore()
        with self.saver:
            while self.position.epoch < self.config.epochs:
                if self.group.any(self.should_stop()) or not self.train_epoch():
                    return "stopped"
                self.finish_epoch()
            self._save_final()
        return "finished"

    def _restore(self) -> None:
        """Begin, in all processes, where the run was left, or where its parent's checkpoint ends."""
        parent = self._load_newest() if self.group.leads else None
        self._note_machine()
        if self.group.size > 1:
            self._follow_leader()
        if self.group.of_leader(parent is not None):
            found = self._evaluate()
            if parent:
                check_load(self.run, parent, found)
        self._begin_rows()

    @by_leader
    def _note_machine(self) -> None:
        """Write down what this machine is, where the run was made for another one."""
        has_trained = self.position != Position(self.record.first_epoch)
        record = placed(self.record, devices.environment_on(self.device), has_trained)
        if record != self.record:
            self.record = record
            self.run.write_record(record)

    @by_leader
    def _begin_rows(self) -> None:
        metrics.rewind(self.run.metrics_path, self.position.epoch, self.position.batch)
        self.status = self.status.model_copy(update={"began_at": (self.position.epoch, self.position.batch)})

    def _follow_leader(self) -> None:
        """Take over what the leader has loaded."""
        tensors = save.snapshot([self.model.state_dict(), self.optimizer.state_dict()])
        others = self.position, self.measured, self.random_state
        tensors, others = self.group.of_leader((tensors, others))
        self._load_tensors(*tensors)
        self.position, self.measured, self.random_state = others

    def _load_newest(self) -> ParentCheckpoint | None:
        """Load the newest whole checkpoint, or the parent's, then the exact position inside the epoch after it."""
        for epoch in reversed(self.run.epochs_saved()):
            path = self.run.checkpoint_path(epoch)
            if self.run.is_whole(path):
                self.measured = EpochResult(**self._load(path)["measured"])
                self.position = Position(epoch + 1)
                break
            self.run.unlist(path)  # damaged: it counts as not saved until it is trained again
        info = self.run.file_info(self.run.partial_path) if self.run.is_whole(self.run.partial_path) else None
        if info and info.epoch == self.position.epoch:
            content = self._load(self.run.partial_path)
            self.position = Position(**content["position"])
            self.random_state = content["random_state"]
        elif self.record.parent and self.measured is None:
            return self._load_parent()
        return None

    def _load_parent(self) -> ParentCheckpoint:
        self.report(phase="loading")
        parent = ParentCheckpoint(self.run)
        parent.load_into(self.model)
        if state := parent.optimizer_state:
            trained = [(name, one) for name, one in self.model.named_parameters() if one.requires_grad]
            loops.restore_optimizer(self.optimizer, state, [one for name, one in trained if name in parent.frozen])
        return parent

    def _load(self, path: Path) -> save.Checkpoint:
        content = save.load_checkpoint(path)
        self._load_tensors(content["model_state_dict"], content["optimizer_state_dict"])
        return content

    def _load_tensors(self, model: dict[str, Any], optimizer: dict[str, Any]) -> None:
        self.model.load_state_dict(model)
        loops.restore_optimizer(self.optimizer, optimizer)

    def train_epoch(self) -> bool:
        """Train to the end of the epoch; False if a stop came first and the exact position is saved."""
        epoch_seed = data.seed_of_epoch(self.config.seed, self.position.epoch)
        torch.manual_seed(epoch_seed)
        if self.random_state:
            devices.set_random_state(self.random_state, self.device)
            self.random_state = None
        config = self.config
        batches = data.epoch_batches(
            self.train_images,
            config.batch_size,
            config.pixels,
            config.augmentation,
            epoch_seed,
            self.position.batch,
            self.group.share,
        )
        reporter = Reporter(self.run, config, self.position, self._report_rate, self.someone_waits, self.group)
        meetings, self.someone_waits = Meetings(self.group, self.position.batch), False
        self._set_learning_rate()
        with devices.fast_matmul():
            for loss in loops.train_loop(batches, self.model, self.train_step, self.still):
                reporter.add(loss)
                if self.position.batch == config.batches_per_epoch:
                    break
                self._set_learning_rate()
                if not meetings.is_due(self.position.batch):
                    continue
                if self.group.any(reporter.is_due):
                    reporter.flush()
                if self.group.any(self.should_stop()):
                    reporter.flush()
                    self._save_partial()
                    return False
        reporter.flush()
        return True

    def _set_learning_rate(self) -> None:
        step = self.position.epoch * self.config.batches_per_epoch + self.position.batch
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(step)

    def _report_rate(self, images_per_second: float) -> None:
        self.saver.check()
        self.report(phase="training", images_per_second=images_per_second)

    @by_leader
    def report(self, /, **changes: object) -> None:
        """Write the training position to ``status.json``, with any other fields of ``Status`` that change."""
        where = {"epoch": self.position.epoch, "batch": self.position.batch, "heartbeat": files.now()}
        self.status = self.status.model_copy(update={**where, **changes})
        self.run.write_status(self.status)

    def finish_epoch(self) -> None:
        """Measure the epoch, write its row, and save its checkpoint while the next epoch trains."""
        self.report(phase="testing")
        found = self._evaluate()
        if not math.isfinite(found.loss):
            raise DivergedError(self.position.epoch, None, found.loss)
        images, seconds = len(self.train_images), self.position.seconds
        train_loss = self.position.loss_sum / images
        self.measured = EpochResult(found.loss, found.accuracy, train_loss, seconds, images / seconds)
        self._note_epoch(self.measured, found)
        self.position = Position(self.position.epoch + 1)

    @by_leader
    def _note_epoch(self, measured: EpochResult, found: loops.Evaluation) -> None:
        row = {"kind": "epoch", "epoch": self.position.epoch, **asdict(measured)}
        if (before := read_load_losses(self.run)) is not None:
            change = found.losses - before  # of each image's loss, since right after loading
            row |= {"difference": change.double().mean().item(), "standard_error": loops.standard_error(change)}
        metrics.append_row(self.run.metrics_path, {**row, "time": files.now()})
        self.begin_saving()

    def begin_saving(self) -> None:
        """Copy what this epoch's checkpoint holds, once the one before is saved, and write it in the background."""
        self.saver.wait()
        checkpoint, about = self._checkpoint(), self._measured()
        self.saver.begin(partial(self.run_files.save_epoch, self.position.epoch, checkpoint, about))

    def _evaluate(self) -> loops.Evaluation:
        with self.evaluating():
            return self._evaluate_on(self.test_images)

    def _evaluate_on(self, images: data.Images) -> loops.Evaluation:
        batches = data.test_batches(images, self.config.pixels, self.group.share)
        return loops.test_loop(batches, self.model, nn.CrossEntropyLoss(reduction="none"), self.group.gather)

    def _checkpoint(self) -> save.Checkpoint:
        """Return the tutorial's four keys and what an exact continuation needs: plain containers and tensors only."""
        added = self.record.described  # what the other two are, every version knows
        return {
            "epoch": self.position.epoch,
            "model_state_dict": save.snapshot(self.model.state_dict()),
            "optimizer_state_dict": save.snapshot(self.optimizer.state_dict()),
            "loss": self.measured.loss if self.measured else None,
            "measured": asdict(self.measured) if self.measured else None,
            "run": self.record.id,
            "config": self.config.model_dump(mode="json"),
            "environment": self.record.environment.model_dump(mode="json"),
            **({DATASET_KEY: added.model_dump(mode="json")} if added else {}),
            **({FROZEN_KEY: [*self.record.frozen]} if self.record.frozen else {}),
        }

    def _measured(self) -> Measured:
        return (self.measured.loss, self.measured.accuracy) if self.measured else (None, None)

    @by_leader
    def _save_partial(self) -> None:
        self.saver.wait()
        state = {"position": asdict(self.position), "random_state": devices.random_state(self.device)}
        self.run_files.save_partial(self.position.epoch, {**self._checkpoint(), **state})

    @by_leader
    def _save_final(self) -> None:
        """Weights only, and the whole model, of plain layers, contiguous and on the CPU to load on any machine."""
        self.saver.wait()
        self.report(phase="saving")
        model = build_model(self.config.model, self.config.seed, self.record.description.shape).eval()
        model.load_state_dict(self.model.state_dict())
        self.run_files.save_final(model, self._measured(), whole=self.can_be_whole)
