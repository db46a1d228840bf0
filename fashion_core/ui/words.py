"""People's words as they are shown: nothing in them is read as Markdown."""

import re
from typing import Final

from fashion_core.errors import FashionError

_MARKDOWN: Final = frozenset("\\`*_{}[]()<>#+-!|~:$&")
_WORD_JOINER: Final = "\u2060"


def sentence(error: FashionError | str) -> str:
    """The error's text with a capital, safe to show: nothing in it is read as Markdown."""
    return plain(str(error)[:1].upper() + str(error)[1:])


def plain(text: str) -> str:
    """Text that Markdown shows as it is: names and paths may hold any character.

    Icons, addresses and e-mails are made after escapes are gone; an invisible joiner keeps them apart.
    """
    escaped = "".join(f"\\{character}" if character in _MARKDOWN else character for character in text)
    return re.sub(r"(:|@|(?i:www))(?=\S)", rf"\1{_WORD_JOINER}", escaped)
