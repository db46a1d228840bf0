"""Every page test watches what the page reads in its address."""

from collections.abc import Iterator

import pytest

from fashion_core.ui import address
from fashion_core.ui.common import PRESENT


@pytest.fixture(autouse=True)
def pages_read_only_what_they_know() -> Iterator[None]:
    """``address.PARAMETERS`` is complete: of a part that it lacks, a page would say that it does not know it."""
    known = [PRESENT]
    read_one, read_every, say_unknown = address.get, address.every, address.say_unknown

    def begin(page: str) -> None:
        known[1:] = address.PARAMETERS.get(page, ())
        say_unknown(page)

    def get(name: str) -> str | None:
        assert name in known or len(known) == 1, name
        return read_one(name)

    def every(name: str) -> list[str]:
        assert name in known or len(known) == 1, name
        return read_every(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(address, "say_unknown", begin)
        patch.setattr(address, "get", get)
        patch.setattr(address, "every", every)
        yield
