"""One error tree: each error is one sentence for a person, and says what to do."""

from pathlib import Path

_LONGEST_QUOTE = 300  # characters of what a stranger's file says about itself


def printable(text: str) -> str:
    """Text of a stranger as one line that can't drive a terminal."""
    shown = "".join(character if character.isprintable() else "�" for character in text[:_LONGEST_QUOTE])
    return shown if len(text) <= _LONGEST_QUOTE else f"{shown}…"


class FashionError(Exception):
    """Something that a person can mend; ``str(error)`` is the sentence to show."""


class ConfigError(FashionError):
    """A setting is unknown, missing or out of bounds."""


class NotAllowedError(FashionError):
    """Whoever asked may not do that here."""


class DataError(FashionError):
    """The dataset is missing, incomplete or altered."""


class DownloadError(DataError):
    """The dataset could not be fetched; trying again goes on where it stopped."""


class DeviceError(FashionError):
    """The device asked for is not on this machine."""


class DiskError(FashionError):
    """A file or folder can't be read or written.

    Attributes:
        path: the file or folder that was being used.
    """

    def __init__(self, path: Path, sentence: str) -> None:
        super().__init__(sentence)
        self.path = path


class DamagedFileError(FashionError):
    """A file of the store is not what was written there.

    Attributes:
        path: the damaged file.
        reason: what is wrong with it, without its path or a full stop.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}.")
        self.path, self.reason = path, reason


class RefusedFileError(FashionError):
    """A file from outside is not what this app reads, or tries what no saved model needs.

    Attributes:
        reason: why, without the beginning of the sentence.
        names: the names in its pickle that are not allowed, such as ``os.system``.
    """

    def __init__(self, reason: str, names: tuple[str, ...] = ()) -> None:
        self.reason = printable(reason)
        self.names = tuple(map(printable, names))
        super().__init__(f"The file is refused: {self.reason}.")


class ComparisonError(FashionError):
    """Two saved files can't be compared, for their models differ."""


class ChangedFileError(RefusedFileError):
    """A file from outside whose bytes are not those that its own checksum was made of."""


class UnusableFileError(FashionError):
    """A saved file can't be used as a model; the sentence says why."""


class DivergedModelError(FashionError):
    """A model's weights are so large that its answers are no numbers."""


class ImageError(FashionError):
    """A file is no image that can be classified here."""


class RunNotFoundError(FashionError):
    """No run in the store has this id."""


class RunStateError(FashionError):
    """The run is in a state in which this can't be done."""


class WorkerError(FashionError):
    """A process of this package could not be started or gave no answer."""


class LoadCheckError(FashionError):
    """A checkpoint was loaded, and its loss measured again is not the one it carries.

    Attributes:
        loss_last: the loss stored in the checkpoint.
        loss_check: the loss measured right after loading.
    """

    def __init__(self, loss_last: float, loss_check: float) -> None:
        super().__init__(
            f"the checkpoint says that its loss is {loss_last:.6f}, but after loading it is {loss_check:.6f}: "
            "the load is wrong or the test images changed, and nothing was trained."
        )
        self.loss_last, self.loss_check = loss_last, loss_check


class DivergedError(FashionError):
    """The training loss is no longer a finite number.

    Attributes:
        epoch: the epoch in which it happened, from 0.
        batch: the batch in that epoch, from 0.
        loss: nan, inf or -inf.
    """

    def __init__(self, epoch: int, batch: int, loss: float) -> None:
        super().__init__(
            f"the loss became {loss} at epoch {epoch}, batch {batch}: start again with a smaller learning rate, "
            "or resume with one from an earlier checkpoint."
        )
        self.epoch, self.batch, self.loss = epoch, batch, loss
