"""Why a resume is not exact: each reason is stored as an id with its values, and put in words where it is shown."""

from collections.abc import Iterable
from typing import Final

from fashion_core.config import settings
from fashion_core.runs.schema import Change, Message

_TEXTS: Final = {
    "no weights": "it does not carry the weights of a model",
    "no epoch": "it does not carry the epoch",
    "no end of epoch": (
        "it does not carry the end of its epoch (it was stopped inside: only its own run continues from here)"
    ),
    "no optimizer": "it does not carry the optimizer's state",
    "no usable optimizer": "it does not carry a state of the optimizer that can be used here",
    "no settings": "it does not carry the settings, with the seed that decides order and randomness",
    "no environment": "it does not carry the environment it was trained in (device, processor, threads, torch)",
    "setting": "{setting} {before} → {after}",
    "fresh optimizer": "{after} starts fresh: the state of {before} is not used",
    "fresh state": "{after} starts fresh: the state in the checkpoint is one for other layers",
    "other dataset": "DIFFERENT DATASET: the checkpoint was trained on other images",
    "all kept": "all {kept:,} tensors are kept",
    "some new": "{kept:,} of {count:,} tensors are kept, {new:,} are new: {layers}",
    "some left behind": "all {kept:,} tensors are kept, {left:,} of the checkpoint are left behind: {layers}",
    "some new and left behind": (
        "{kept:,} of {count:,} tensors are kept, {new:,} are new: {layers}; {left:,} of the checkpoint are left behind"
    ),
    "frozen": "{count:,} of {tensors:,} tensors are frozen: training leaves them as they are",
    "no longer frozen": (
        "{count:,} of {tensors:,} tensors were frozen and are trained too; the optimizer begins anew with them"
    ),
    "model source": "the source of {model} has changed since: the same weights may mean something else",
    "cosine": "the cosine reaches zero after epoch {after} instead of {before}",
    "device": "device {before} → {after}: rounding differs",
    "threads": "threads {before} → {after}: rounding differs",
    "processes": "processes {before} → {after}: the same within rounding",
    "mkl": "MKL_CBWR {before} → {after}: rounding differs",
    "torch": "torch {before} → {after}: rounding differs",
    "processor": "processor {before} → {after}: rounding differs",
    "package": "{package} {before} → {after}: rounding may differ",
    "edited": "run.json says {setting} {after}, but its checkpoint was trained with {before}: it was edited since",
    "not measured": "metrics.jsonl of {run} has no such epoch",
    "nothing known": (
        "nothing that is recorded differs: another version of this app, a device that adds in no fixed order, or a "
        "failing one"
    ),
}


def texts(reasons: Iterable[Message | str]) -> list[str]:
    """The reasons in words; those of runs from earlier versions, and of damaged or refused files, are words already."""
    return [reason if isinstance(reason, str) else _text(reason) for reason in reasons]


def _text(reason: Message) -> str:
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in reason.values.items()}
    if "setting" in shown:
        shown["setting"] = _label(str(shown.get("setting")))
    try:
        return _TEXTS[reason.id].format(**shown)
    except (KeyError, ValueError):  # of another version, or edited by hand
        return reason.id


def _label(name: str) -> str:
    if name == "frozen":  # what a resume changes beside the settings
        return "frozen tensors"
    label = next((setting.label for setting in settings() if setting.name == name), name)
    return f"{label[:1].lower()}{label[1:]}"


def changed(name: str, change: Change) -> Message:
    return Message(id="setting", values={"setting": name, "before": change.before, "after": change.after})


def describe(name: str, change: Change) -> str:
    """A change in words, such as "learning rate 0.001 → 0.0001"."""
    return _text(changed(name, change))
