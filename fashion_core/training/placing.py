"""The machine that a run trains on, where its engine, or whoever continues it, has chosen another than was planned."""

from collections.abc import Mapping
from typing import Final

from fashion_core.runs.schema import NOT_SET, Environment, Message, Resumption, RunRecord

_OTHERS: Final = ", and others before"


def placed(record: RunRecord, here: Mapping[str, str | None], has_trained: bool) -> RunRecord:
    """The record of a run that trains here; ``here`` is what ``devices.environment_on`` says.

    Where it has trained elsewhere before, that stays to be seen: no single machine gives its bits.
    """
    before = record.environment
    changed = {name: now for name, now in here.items() if now != _newest(getattr(before, name))}
    if has_trained:  # what was unknown then stays unknown
        changed = {name: f"{now or NOT_SET}{_OTHERS}" for name, now in changed.items() if getattr(before, name)}
    after = before.model_copy(update=changed)
    resumption = record.resumption and _judged_again(record.resumption, before, after)
    return record.model_copy(update={"environment": after, "resumption": resumption}) if changed else record


def _newest(value: str | None) -> str | None:
    return value and value.removesuffix(_OTHERS)


def _judged_again(told: Resumption, planned: Environment, after: Environment) -> Resumption:
    """The verdict told before the click, with the machine that the run was then placed on."""
    before = {one.id: one.values["before"] for one in told.reasons if isinstance(one, Message) and _is_of_machine(one)}
    others = (one for one in told.reasons if not (isinstance(one, Message) and _is_of_machine(one)))
    reasons = (*others, *planned.model_copy(update=before).differences(after))
    verdict = told.verdict
    if verdict in ("exact", "approximate"):
        verdict = "approximate" if reasons else "exact"
    return told.model_copy(update={"verdict": verdict, "reasons": reasons})


def _is_of_machine(reason: Message) -> bool:
    return reason.id in Environment.COMPARED and "before" in reason.values
