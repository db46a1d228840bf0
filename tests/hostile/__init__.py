"""Files that try to do what no saved model needs: run code, plant it, or take the machine's memory and time.

One function per family yields names and what makes the bytes, so that listing them costs nothing.
"""

from collections.abc import Iterator

from tests.hostile import archives, bombs, formats, gadgets, layers, numbers
from tests.hostile.building import Case
from tests.hostile.numbers import descriptions, optimizers

__all__ = ["Case", "corpus", "harmless", "optimizers", "quick", "rest"]
_QUICK = 8


def corpus() -> Iterator[Case]:
    for room in (gadgets, layers, archives, bombs, numbers, formats):
        for family in room.FAMILIES:
            for name, make in family():
                yield f"{family.__name__.replace('_', ' ')}: {name}", make


def harmless() -> Iterator[Case]:
    """What may be loaded in part or whole, and must cost nothing."""
    yield from bombs.harmless()
    yield from optimizers()
    yield from descriptions()


def quick() -> list[Case]:
    """Every eighth, some of each family."""
    return list(corpus())[::_QUICK]


def rest() -> list[Case]:
    return [case for index, case in enumerate(corpus()) if index % _QUICK]
