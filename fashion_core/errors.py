"""The tree of errors: each message is one sentence that tells a person what to do.

- FashionError, which pages and the command line catch and show; anything else is a bug
  - ConfigError, NotAllowedError, RequestRefusedError, DeviceError, ModelError, DataError (DownloadError)
  - DiskError, DamagedFileError, RefusedFileError (ChangedFileError, UnfitFileError), UnusableFileError, ImageError
  - ComparisonError, RunNotFoundError, RunStateError, WorkerError, EngineError
  - LoadCheckError, DivergedError, DivergedModelError
"""

from pathlib import Path

_LONGEST_QUOTE = 300  # characters of what a stranger's file says about itself
_JOINERS = "\u200c\u200d"  # ZWNJ and ZWJ: invisible, but Persian, Hindi and emoji are not written without them
_WITHOUT_JOINERS = str.maketrans("", "", _JOINERS)


def is_one_line(text: str) -> bool:
    """Whether a terminal and a page show the text as it is: no control characters, line breaks or other directions."""
    return text.translate(_WITHOUT_JOINERS).isprintable()


def one_line(text: str) -> str:
    """Text that may hold anything, such as a file's name, as one harmless line."""
    return text if is_one_line(text) else "".join(sign if is_one_line(sign) else "�" for sign in text)


def printable(text: str) -> str:
    """Untrusted text as one harmless line of bounded length."""
    shown = one_line(text[:_LONGEST_QUOTE])
    return shown if len(text) <= _LONGEST_QUOTE else f"{shown}…"


def cut_middle(text: str, limit: int) -> str:
    """At most ``limit`` characters: names differ more often at an end than in the middle."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail].rstrip()}…{text[-tail:].lstrip()}"


def is_blank(text: str) -> bool:
    """Whether nothing of the text can be seen."""
    return not text.strip(f" {_JOINERS}")


def counted(count: int, one: str, many: str, **values: object) -> str:
    """The template for one or for many, with ``{count}`` and the other values filled in."""
    return (one if count == 1 else many).format(count=count, **values)


class FashionError(Exception):
    """Something that a person can fix; ``str(error)`` is the sentence to show, one line whatever names it quotes."""

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


class ConfigError(FashionError):
    """A setting is unknown, missing or out of bounds."""


class NotAllowedError(FashionError):
    """This person may not do that here."""


class RequestRefusedError(FashionError):
    """The server does not answer this request; ``status`` is HTTP's number for why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class DataError(FashionError):
    """The dataset is missing, incomplete or altered."""


class DownloadError(DataError):
    """The dataset could not be fetched; another try continues where this one stopped."""


class DeviceError(FashionError):
    """This machine does not have the device that was asked for."""


class ModelError(FashionError):
    """A team's own model is not here, or can't be built or used; the sentence has its module's own message."""


class DiskError(FashionError):
    """The file or folder ``path`` can't be read or written."""

    def __init__(self, path: Path, sentence: str) -> None:
        super().__init__(sentence)
        self.path, self.reason = path, one_line(sentence.rstrip("."))


class DamagedFileError(FashionError):
    """The file ``path`` of the store is not what was written there; ``reason`` omits the path and the full stop."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}.")
        self.path, self.reason = path, one_line(reason)


class RefusedFileError(FashionError):
    """A file from outside is not what this app reads, or does something that no saved model needs.

    ``names`` are those in its pickle that are not allowed, such as ``os.system``.
    """

    outcome = "refused"

    def __init__(self, reason: str, names: tuple[str, ...] = ()) -> None:
        self.reason, self.names = printable(reason), tuple(map(printable, names))
        super().__init__(f"The file is {self.outcome}: {self.reason}.")


class ChangedFileError(RefusedFileError):
    """The bytes of a file from outside don't fit its own checksum."""


class UnfitFileError(RefusedFileError):
    """A file from outside holds weights alone, but not such as a model of this app can have: nothing speaks of harm."""

    outcome = "not usable"


class UnusableFileError(FashionError):
    """A saved file can't be used as a model; the sentence says why."""


class ImageError(FashionError):
    """A file is not an image that can be classified here."""


class ComparisonError(FashionError):
    """Two saved files can't be compared, because their models differ."""


class RunNotFoundError(FashionError):
    """No run in the store has this id."""


class RunStateError(FashionError):
    """The state of the run does not allow this."""


class WorkerError(FashionError):
    """A process of this package could not be started or gave no answer."""


class EngineError(FashionError):
    """Slurm or Ray is not installed, can't be reached, or refuses a job."""


class LoadCheckError(FashionError):
    """The loss of a loaded checkpoint, ``loss_check``, is not ``loss_last``, the one stored in it."""

    def __init__(self, loss_last: float, loss_check: float) -> None:
        super().__init__(
            f"the checkpoint says that its loss is {loss_last:.6f}, but after loading it is {loss_check:.6f}: "
            "the load is wrong or the test images changed, and nothing was trained."
        )
        self.loss_last, self.loss_check = loss_last, loss_check


class DivergedError(FashionError):
    """A loss became nan, inf or -inf: that of a training batch, or the test loss after an epoch (``batch`` is None)."""

    def __init__(self, epoch: int, batch: int | None, loss: float) -> None:
        which, where = ("test loss", "") if batch is None else ("loss", f", batch {batch}")
        super().__init__(
            f"the {which} became {loss} at epoch {epoch}{where}: start again with a smaller learning rate, "
            "or resume from an earlier checkpoint with a smaller one."
        )


class DivergedModelError(FashionError):
    """A model's weights are so large that its logits are not finite."""
