"""Short words for charts, tables and lines: what a resumed run changed, how far its loss moved."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Final

from fashion_core.config import model_label
from fashion_core.data.description import images_label
from fashion_core.errors import cut_middle
from fashion_core.resume import texts
from fashion_core.runs.schema import Change

LABEL_LENGTH: Final = 20  # characters that fit beside the marks on a phone


def _rate(change: Change) -> str:
    """A learning rate as a factor: "lr ÷10", "lr ×3"; the new rate itself where the factor is not round."""
    before, after = float(change.before), float(change.after)
    text, factor = (texts.RATE_MULTIPLIED, after / before) if after > before else (texts.RATE_DIVIDED, before / after)
    round_one = float(f"{factor:.2g}")
    if math.isclose(factor, round_one, rel_tol=1e-6):
        return text.format(factor=round_one)
    return texts.SHORT_CHANGES["learning_rate"].format(after=after)


def _short(name: str, change: Change) -> str:
    if name == "learning_rate":
        return _rate(change)
    if name == "augmentation" and change.after == "none":
        return texts.NOT_AUGMENTED
    if name == "train_images" and not change.after:
        return texts.ALL_IMAGES
    if name == "frozen" and not change.after:
        return texts.NONE_FROZEN
    return texts.SHORT_CHANGES[name].format(before=change.before, after=change.after)


def short_label(changes: Mapping[str, Change]) -> str:
    """What was changed, in at most ``LABEL_LENGTH`` characters: "lr ÷10, → adam"; "lr ÷10 +2" if that is too long."""
    words = [_short(name, changes[name]) for name in texts.SHORT_CHANGES if name in changes]
    label = texts.SAME_SETTINGS
    for left_out in range(len(words)):
        label = ", ".join(words[: len(words) - left_out]) + (f" +{left_out}" if left_out else "")
        if len(label) <= LABEL_LENGTH:
            break
    return cut_middle(label, LABEL_LENGTH)


def unique_labels(runs: Iterable[tuple[str, Hashable, Mapping[str, Change]]]) -> dict[str, str]:
    """A label per run, from its id, checkpoint and changes; equal ones at one checkpoint are numbered."""
    seen: Counter[tuple[Hashable, str]] = Counter()
    labels: dict[str, str] = {}
    for run, checkpoint, changes in sorted(runs, key=lambda triple: triple[0]):
        label = short_label(changes)
        seen[checkpoint, label] += 1
        number = seen[checkpoint, label]
        labels[run] = label if number == 1 else f"{label} ({number})"
    return labels


def setting_text(setting: str, value: str | float) -> str:
    """The value of a setting in words where it stands for something."""
    if value == 0 and setting in texts.WHAT_ZERO_MEANS:
        return texts.WHAT_ZERO_MEANS[setting]
    if isinstance(value, float):
        return f"{value:g}"
    labels = {"dataset": images_label, "model": model_label}
    return labels.get(setting, str)(str(value))


def label_pixels(labels: Iterable[str]) -> int:
    """The width that the longest one takes at 12 pixels, rounded up so that few charts differ in it."""
    return -(-max(map(len, labels), default=0) * 6 // 20) * 20


def percent(change: float) -> str:
    """A relative change in at most eight characters: "−12.0%"; "×12" where percentages are no longer meaningful."""
    if not math.isfinite(change):  # infinite: from a loss of 0
        return texts.DIVERGED if math.isnan(change) else texts.FROM_ZERO
    if change < 10:
        return f"{change:+z.1%}".replace("-", "−")
    return f"×{change + 1:,.0f}" if change < 1e5 else "×" + f"{change + 1:.0e}".replace("e+0", "e").replace("e+", "e")


def loss_text(loss: float | None, decimals: int = 3) -> str:
    """A loss with this many decimals, or as a power of ten once it diverges; a dash if there is none yet."""
    return "–" if loss is None else f"{loss:.{decimals}f}" if loss < 1000 else f"{loss:.1e}"


def points(share: float) -> str:
    """A share without its sign and unit: "6.1"; one digit of what would be 0.0."""
    return f"{share:.1%}".removesuffix("%") if share >= 0.0005 else f"{share * 100:.1g}"


def interval_text(change: float, interval: float) -> str:
    """Half the interval of a change in the unit of ``percent``: the 1.2 of "−6.1% ± 1.2", the 3.5 of "×13 ± 3.5"."""
    return points(interval) if change < 10 else f"{interval:,.1f}"
