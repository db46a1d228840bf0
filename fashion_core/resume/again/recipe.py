"""What it takes to train a run again elsewhere, as lines for a shell: the environment, the images, the commands.

People copy them, and a record may be a stranger's: whatever it says is one quoted word, or stays behind its ``#``.
"""

import shlex
from collections.abc import Collection, Iterator

from fashion_core.config import TrainConfig, settings
from fashion_core.data.description import BUILT_IN, images_label
from fashion_core.errors import counted, printable
from fashion_core.resume import texts
from fashion_core.runs.run import Run
from fashion_core.runs.schema import RunRecord
from fashion_core.runs.store import APP, RunStore

_WHERE = ("device", "threads")  # said as they were, not as they were asked for


def recipe(store: RunStore, run: Run) -> str:
    """Lines for a shell: what to install, which images, and a command for the run and each that it goes back to.

    Raises ``DamagedFileError`` or ``DiskError``.
    """
    return "\n".join([*_surroundings(run.record), *_commands(store, run)])


def _surroundings(record: RunRecord) -> Iterator[str]:
    found = record.environment
    known = {**found.model_dump(include={"python", "device", "torch"}), "processor": found.processor or texts.UNKNOWN}
    yield counted(found.threads, texts.ENVIRONMENT_ONE, texts.ENVIRONMENT_MANY, **known)
    packages = {"torch": found.torch, **record.packages}
    yield texts.THIS_APP.format(version=packages.pop(APP, texts.UNKNOWN))
    pinned = (shlex.quote(f"{name}=={version.partition('+')[0]}") for name, version in packages.items())
    yield texts.PACKAGES.format(packages=" ".join(pinned))
    yield from _images(record)
    if record.model_sha256:
        yield texts.MODEL_SOURCE.format(model=record.config.model, sha256=record.model_sha256)
    if found.mkl:
        yield texts.MKL_ORDER.format(mkl=shlex.quote(found.mkl))


def _images(record: RunRecord) -> Iterator[str]:
    sha256, added = record.dataset_sha256, record.config.dataset not in BUILT_IN
    digest = texts.SHA256_OF_IMAGES.format(sha256=sha256) if sha256 else texts.ALWAYS_THE_SAME
    yield texts.IMAGES.format(images=printable(images_label(record.images)), sha256=digest)
    if added:
        yield texts.ADDED_IMAGES.format(name=record.config.dataset)


def _commands(store: RunStore, run: Run) -> Iterator[str]:
    before: RunRecord | None = None
    for one in store.with_ancestors([run]):
        record = one.record
        if record.parent and not before:
            yield texts.GONE_COMMAND.format(run=printable(record.parent.run))
        yield _command(record, before)
        before = record


def _command(record: RunRecord, before: RunRecord | None) -> str:
    if record.source:
        flags = _flags(record, {"dataset", "model", "pixels"}, None)
        return texts.IMPORT_COMMAND.format(
            file=shlex.quote(record.source.name), flags=flags, sha256=printable(record.source.sha256)
        )
    every = {setting.name for setting in settings()}
    if not record.parent:
        return texts.TRAIN_COMMAND.format(flags=_flags(record, every, TrainConfig()))
    flags = _flags(record, every - {"epochs"}, before.config if before else TrainConfig())
    epochs = f"--epochs={record.config.epochs - record.first_epoch}"
    frozen = bool(record.frozen), bool(before and before.frozen)
    freeze = {(True, False): " --freeze", (False, True): " --no-freeze"}.get(frozen, "")
    return texts.RESUME_COMMAND.format(epoch=record.parent.epoch, flags=f"{epochs} {flags}{freeze}".strip())


def _flags(record: RunRecord, names: Collection[str], base: TrainConfig | None) -> str:
    """The settings that are not those of ``base``, and always on what device and with how many threads it ran."""
    known = record.config.model_dump() | record.environment.model_dump(include={*_WHERE})
    default = base.model_dump() if base else {}
    found = (setting for setting in settings() if setting.name in names)
    given = [one for one in found if one.name in _WHERE or known[one.name] != default.get(one.name)]
    return " ".join(shlex.quote(f"{one.flag}={known[one.name]}") for one in given)
