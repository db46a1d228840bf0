"""Names and ports of servers, in the headers Host and Origin and in the setting FASHION_HOSTS."""

import ipaddress
import re
from typing import Final, NamedTuple

from fashion_core.access import texts
from fashion_core.errors import ConfigError

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_ADDRESS: Final = re.compile(r"(\[[0-9a-f:.]+\]|\w[\w.-]*?)\.?(?::(\d{1,5}))?", re.ASCII | re.IGNORECASE)


class Address(NamedTuple):
    """A name in lower case, without the dot that may end it; IPv6 has its brackets. No port means the scheme's own."""

    name: str
    port: int | None = None


def parse(text: str) -> Address | None:
    """Read ``name`` or ``name:port``; None for anything else, as one with a user's name, a path or a space in it."""
    found = _ADDRESS.fullmatch(text)
    return Address(found[1].lower(), int(found[2]) if found[2] else None) if found else None


def parse_hosts(text: str) -> frozenset[Address]:
    """Read FASHION_HOSTS; empty means none. Raises ``ConfigError``."""
    entries = [entry for part in text.split(",") if (entry := part.strip())]
    found = {entry: parse(entry) for entry in entries}
    if wrong := [entry for entry, address in found.items() if address is None]:
        raise ConfigError(texts.WRONG_HOSTS.format(value=wrong[0]))
    return frozenset(filter(None, found.values()))


def is_origin_of(origin: str, address: Address) -> bool:
    """Whether a page of this Origin was loaded from this address; ``null`` is of none."""
    scheme, _, rest = origin.partition("://")
    page, port = parse(rest), _DEFAULT_PORTS.get(scheme)
    if page is None or port is None:
        return False
    ports = (port if one.port is None else one.port for one in (page, address))
    return page.name == address.name and len({*ports}) == 1


def is_loopback(name: str | None) -> bool:
    """Whether an address can be reached from this machine only; no address means every interface."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address((name or "").strip("[]")).is_loopback
    except ValueError:
        return False
