"""Numbers with a label above and a change below, as HTML: in a page's style, without a run of its script."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Meaning = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class Tile:
    """One number, what it gained, and what to make of it."""

    label: str
    value: str
    change: str = ""
    meaning: Meaning = "plain"
    note: str = ""

    def group(self) -> str:
        """A group of a description list."""
        change = f'<dd class="change {self.meaning}">{escape(self.change)}</dd>' if self.change else ""
        note = f'<dd class="note">{escape(self.note)}</dd>' if self.note else ""
        return f"<div><dt>{escape(self.label)}</dt><dd>{escape(self.value)}</dd>{change}{note}</div>"


def html(words: str, share: float, rows: Sequence[Sequence[Tile]]) -> str:
    """How far something is, as a bar of this share with these words below it, and the numbers in rows."""
    bar = f'<progress value="{share:.4f}" aria-label="{escape(words)}"></progress><p>{escape(words)}</p>'
    return bar + "".join(f"<dl>{''.join(tile.group() for tile in row)}</dl>" for row in rows)
