"""The runs of the first screen's picture, as numbers: trained for it, on 10,000 images of Fashion-MNIST."""

from typing import Final

from fashion_core.resume import reasons
from fashion_core.resume.comparison import Compared, LossNow
from fashion_core.resume.labels import short_label
from fashion_core.resume.tables import Losses
from fashion_core.runs.schema import Change, LoadCheck
from fashion_core.ui.overview import texts

_PARENT: Final = "parent"
_LOSSES: Final = (0.5654, 0.4932, 0.5112, 0.4617, 0.4287, 0.4354)
_LOWER_RATE: Final = {"learning_rate": Change(before=0.002, after=0.0002)}
_RESUMED: Final = (  # from which epoch, with which changes, the losses, the standard error of the last change
    (2, _LOWER_RATE, (0.4122, 0.4056, 0.4042, 0.4134), 0.0059),
    (2, {"batch_size": Change(before=64, after=512)}, (0.4269, 0.4107, 0.4098, 0.4087), 0.0055),
    (5, _LOWER_RATE, (0.4033, 0.398, 0.407, 0.4128), 0.0046),
    (5, {"optimizer": Change(before="adam", after="sgd")}, (0.4162, 0.4121, 0.41, 0.4086), 0.0026),
    (5, {"learning_rate": Change(before=0.002, after=0.006)}, (0.5471, 0.538, 0.5553, 0.5379), 0.009),
)


def rows() -> list[Compared]:
    return [_row(str(number), *run) for number, run in enumerate(_RESUMED)]


def losses() -> Losses:
    """The test loss of each epoch of all of them."""
    resumed = {str(number): (epoch + 1, own) for number, (epoch, _, own, _) in enumerate(_RESUMED)}
    return {run: list(enumerate(own, first)) for run, (first, own) in {_PARENT: (0, _LOSSES), **resumed}.items()}


def _row(run: str, epoch: int, changes: dict[str, Change], losses: tuple[float, ...], error: float) -> Compared:
    last, overrides = _LOSSES[epoch], tuple(reasons.describe(name, change) for name, change in changes.items())
    now = LossNow(epoch + len(losses), losses[-1], losses[-1] - last, error)
    return Compared(
        run=run,
        name=texts.SAMPLE_RESUMED_RUN.format(changes=short_label(changes)),
        state="finished",
        dataset="fashion-mnist",
        parent=_PARENT,
        parent_name=texts.SAMPLE_RUN,
        parent_exists=True,
        epoch=epoch,
        check=LoadCheck(
            loss_last=last, loss_check=last, accuracy=0.85, standard_error=0.01, comparable=True, optimizer="loaded"
        ),
        first=now,
        latest=now,
        verdict="approximate",
        overrides=overrides,
        changes=changes,
    )
