"""The checkpoint that a run was resumed from: loading it, and checking that it was loaded correctly."""

import math

import torch
from torch import Tensor, nn

from fashion_core import files
from fashion_core.config import TrainConfig
from fashion_core.errors import DamagedFileError, LoadCheckError
from fashion_core.formats import save
from fashion_core.formats.inspect import inspect
from fashion_core.formats.untrusted.optimizer import frozen_in
from fashion_core.loops import Evaluation, standard_error
from fashion_core.runs.run import Run
from fashion_core.runs.schema import LoadCheck, RunRecord
from fashion_core.runs.store import RunStore

_OTHER_LAYERS = "its layers are not those that its run names"
_ROUNDING = 1e-5  # by which one loss may differ, relatively, when another device or thread count sums it up


class ParentCheckpoint:
    """What a resumed run begins with. Making it raises ``RunNotFoundError`` or ``DamagedFileError``."""

    def __init__(self, run: Run) -> None:
        parent = run.record.parent
        assert parent is not None
        self.run = RunStore(run.path.parent).get(parent.run)
        self.path = self.run.whole_checkpoint(parent.epoch)
        self.content = save.load_checkpoint(self.path)
        self.config = self.run.record.config
        self.transfer = run.record.resumption.transfer if run.record.resumption else None
        self.frozen = frozen_in(self.content)
        self.loss_last: float | None = self.content["loss"]
        self.optimizer_state = self.content["optimizer_state_dict"] if self._fits(run.record.config) else None

    def _fits(self, config: TrainConfig) -> bool:
        """Whether its optimizer's state can be used, and belongs to the optimizer and the layers of these settings."""
        found = inspect(self.path, numbers=False).optimizer  # as the verdict before the click saw it
        same_parameters = self.transfer is None or self.transfer.same_parameters
        is_usable = found is not None and found.problem is None
        return is_usable and same_parameters and config.optimizer == self.config.optimizer

    def load_into(self, model: nn.Module) -> None:
        """Load all of it, or of a transfer what its plan keeps; the rest of the model stays as it is."""
        own, found = model.state_dict(), self.content["model_state_dict"]
        try:
            if self.transfer is not None:
                kept = {name: found[name] for name in own if name not in self.transfer.new}
                if len(kept) != self.transfer.kept:
                    raise DamagedFileError(self.path, _OTHER_LAYERS)
                found = {**own, **kept}
            model.load_state_dict(found)
        except (KeyError, RuntimeError) as error:
            raise DamagedFileError(self.path, _OTHER_LAYERS) from error


def _model(record: RunRecord) -> tuple[str, str | None]:
    """What has to be the same for the same weights to give the same loss."""
    return record.config.model, record.model_sha256


def check_load(run: Run, parent: ParentCheckpoint, found: Evaluation) -> None:
    """Keep what was measured right after loading. Raises ``LoadCheckError`` if it is not what the checkpoint says."""
    config, loss_last = run.record.config, parent.loss_last
    same_images = (parent.run.record.images, parent.config.pixels) == (run.record.images, config.pixels)
    same_model = _model(parent.run.record) == _model(run.record)
    is_own = "measured" in parent.content  # in it by this app
    comparable = same_images and same_model and is_own and loss_last is not None
    if comparable and loss_last is not None and not math.isclose(found.loss, loss_last, rel_tol=_ROUNDING):
        raise LoadCheckError(loss_last, found.loss)
    written = files.write_bytes(run.load_losses_path, found.losses.numpy().tobytes())
    check = LoadCheck(
        loss_last=loss_last,
        loss_check=found.loss,
        accuracy=found.accuracy,
        standard_error=standard_error(found.losses),
        comparable=comparable,
        optimizer="loaded" if parent.optimizer_state else "fresh",
        losses_sha256=written.sha256,
    )
    files.write_json(run.load_check_path, check.model_dump(mode="json"))


def read_load_losses(run: Run) -> Tensor | None:
    """Each test image's loss right after loading, (N,) float32, if known. Raises ``DamagedFileError``."""
    path = run.load_losses_path
    if run.load_check is None or not path.exists():
        return None
    run.check_load_losses()
    return torch.frombuffer(bytearray(files.read_bytes(path)), dtype=torch.float32)
