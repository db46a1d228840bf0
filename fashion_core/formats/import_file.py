"""Import a file from anyone into the store, as a run of its own with one checkpoint that can be resumed and used."""

import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from fashion_core import devices, files
from fashion_core.config import MAX_NAME, TrainConfig, parse_config
from fashion_core.data.description import BUILT_IN, Description, describe
from fashion_core.errors import ConfigError, RefusedFileError, UnfitFileError, printable
from fashion_core.files import now
from fashion_core.formats import save
from fashion_core.formats.load import LoadedModel, load
from fashion_core.formats.shapes import misfit
from fashion_core.formats.untrusted.optimizer import FROZEN_KEY, family
from fashion_core.formats.untrusted.saved_file import DATASET_KEY
from fashion_core.runs.run import Run
from fashion_core.runs.schema import Environment, FileInfo, Labels, SavedFormat, Source, Status
from fashion_core.runs.store import RunStore

# What is said of the settings that neither the file nor the person gives.
_ASSUMED: dict[tuple[str, ...], str] = {
    ("dataset",): "The file does not say what it was trained on: assumed dataset {dataset}.",
    ("pixels",): "The file does not say what it was trained on: assumed pixels {pixels}.",
    ("dataset", "pixels"): (
        "The file does not say what it was trained on: assumed dataset {dataset} and pixels {pixels}."
    ),
}


def import_file(store: RunStore, path: Path, name: str, given: Mapping[str, Any], weights: str | None = None) -> Run:
    """Import a file: state *imported*, one checkpoint at the epoch it carries (else 0), the original bytes beside it.

    ``name`` is what the file was called where it came from; ``given`` are settings that people know better than the
    file does; ``weights`` says which are meant where it holds several. Raises ``RefusedFileError`` if it can't be
    loaded or does not fit its dataset, ``ConfigError`` for bad settings, ``DataError`` where there is no such dataset,
    ``DiskError``; then nothing is left behind.
    """
    loaded = load(path, weights, model=given.get("model"))
    if (asked := given.get("model", loaded.model_name)) != loaded.model_name:
        raise ConfigError(f"Its weights are those of {loaded.model_name}, not of {asked}: leave the model away.")
    if loaded.format == "partial":
        raise RefusedFileError(
            f"it was saved inside epoch {loaded.epoch}, and only its own run can finish that; continue that run, or "
            "import the checkpoint of a finished epoch"
        )
    settings, notes = _settings(loaded)
    shown = printable(Path(name).name)[:MAX_NAME]
    config = _parse(loaded, settings, shown, given)
    assumed = tuple(name for name in config.trained_on if name not in {**loaded.trained_on, **given})
    dataset = _dataset(loaded, config.dataset)
    if reason := misfit(loaded.model_name, loaded.shape, dataset):
        advice = "; say which dataset it was trained on" if "dataset" in assumed else ""
        raise UnfitFileError(reason + advice)
    config = _fitted(config, dataset)
    if assumed:
        notes.append(_ASSUMED[assumed].format(**config.trained_on))
    content: dict[str, Any] = {"epoch": loaded.epoch or 0, "model_state_dict": loaded.model.state_dict()}
    content |= {"optimizer_state_dict": loaded.optimizer_state, "loss": loaded.loss, **loaded.extras}
    if dataset == loaded.dataset:
        content[DATASET_KEY] = dataset.model_dump(mode="json")
    if loaded.frozen:
        content[FROZEN_KEY] = [*loaded.frozen]

    def fill(draft: Run) -> None:
        with files.writing(draft.original_path) as file, path.open("rb") as original:
            shutil.copyfileobj(original, file)
        draft.write_info(draft.original_path, _info(loaded, loaded.format, file.digest))
        checkpoint = draft.checkpoint_path(content["epoch"])
        draft.write_info(checkpoint, _info(loaded, "checkpoint", save.save(checkpoint, content)))
        draft.write_status(Status(state="imported", queued_at=now(), heartbeat=now(), epoch=config.epochs))

    source = Source(name=shown, format=loaded.format, sha256=files.digest_of(path).sha256, assumed=assumed)
    labels = Labels(name=config.title, notes=" ".join(notes))
    # What the file says it was computed with; where it does not say, this machine.
    versions = {"python": platform.python_version(), "torch": metadata.version("torch")}
    here = {"device": "cpu", "threads": devices.automatic_threads(), "mkl": devices.mkl_order()}
    environment = Environment.model_validate(loaded.extras.get("environment", versions | here))
    return store.create(
        config, environment, source=source, labels=labels, fill=fill, dataset=dataset, frozen=loaded.frozen
    )


def _settings(loaded: LoadedModel) -> tuple[dict[str, Any], list[str]]:
    """The settings that a file carries, and a sentence for each thing that it does not."""
    settings: dict[str, Any] = {"model": loaded.model_name, "epochs": (loaded.epoch or 0) + 1, **loaded.trained_on}
    if (own := loaded.extras.get("config")) is not None:
        return {**own, **settings, "epochs": max(settings["epochs"], parse_config(own).epochs)}, [*loaded.notes]
    known, notes = _optimizer_settings(loaded)
    if loaded.epoch is None:
        notes.append("The file gives no usable epoch number, so it counts as epoch 0.")
    return settings | known, [*loaded.notes, *notes]


def _optimizer_settings(loaded: LoadedModel) -> tuple[dict[str, Any], list[str]]:
    """What its optimizer was set to, as far as this app has the same settings, whether or not its state is used."""
    if loaded.optimizer is None:
        return {}, ["The file carries no optimizer: resuming starts a fresh one."]
    group, name = loaded.optimizer.settings, family(loaded.optimizer.settings)
    there = {
        "optimizer": None if name == "unknown" else name,
        "learning_rate": group.get("initial_lr") or group.get("lr"),
        "momentum": group.get("momentum") if name == "sgd" else None,
        "weight_decay": group.get("weight_decay"),
    }
    settings = {key: value for key, value in there.items() if value is not None and _is_possible(key, value)}
    notes = []
    if name == "adam" and settings.get("weight_decay") and "decoupled_weight_decay" not in group:
        notes.append("Its optimizer is Adam or AdamW, and the file does not say which: it counts as Adam.")
    if "learning_rate" not in settings:
        notes.append("Its learning rate is unknown, so 0.001 is used.")
    return settings, notes


def _is_possible(setting: str, value: Any) -> bool:
    try:
        parse_config({setting: value})
    except ConfigError:
        return False
    return True


def _parse(loaded: LoadedModel, settings: Mapping[str, Any], shown: str, given: Mapping[str, Any]) -> TrainConfig:
    """Blame bad settings of the file on the file, given ones on the person; believe what a file of this app says."""
    try:
        known = parse_config(settings)
    except ConfigError as error:
        raise RefusedFileError(f"its settings can't be used here: {str(error).rstrip('.')}") from error
    config = parse_config({**known.model_dump(), "name": shown, **given})
    own = {**loaded.trained_on, **loaded.extras.get("config", {})}
    for name in given:
        value = getattr(config, name)
        if own.get(name, value) != value:
            raise ConfigError(f"The file says that its {name} was {own[name]}: leave that as it is, not {value}.")
    return config


def _dataset(loaded: LoadedModel, name: str) -> Description:
    """What the file says of its dataset, if it does; else what has that name here. Raises ``DataError``."""
    return loaded.dataset if loaded.dataset and loaded.dataset.name == name else describe(name)


def _fitted(config: TrainConfig, dataset: Description) -> TrainConfig:
    """With a number of images, which only a run says that was trained on a dataset that was added."""
    if config.train_images or dataset.name in BUILT_IN:
        return config
    sizes = {"train_images": dataset.train, "batch_size": min(config.batch_size, dataset.train)}
    return parse_config({**config.model_dump(), **sizes})


def _info(loaded: LoadedModel, format: SavedFormat, digest: files.Digest) -> FileInfo:
    facts = {**asdict(digest), "epoch": loaded.epoch or 0, "loss": loaded.loss}
    accuracy = loaded.extras.get("measured", {}).get("accuracy")
    return FileInfo(format=format, **facts, accuracy=accuracy, seconds=0.0, created=datetime.now(UTC), why="import")
