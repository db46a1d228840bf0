"""Who may do what: decided from the server's address, the secrets, the environment and the claims of a login.

An operator may do everything; a viewer may look, use models and download; a stranger sees nothing of the store.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fashion_core.access import addresses, texts
from fashion_core.config import variable
from fashion_core.errors import ConfigError, printable

Role = Literal["operator", "viewer", "stranger"]
COUNTED_CLAIMS: Final = ("is_logged_in", "sub", "email", "email_verified", "exp")  # all that with_login reads
_FORWARDING: Final = (
    *("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server"),
    *("X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip"),
)


@dataclass(frozen=True)
class Actor:
    """Who is asking, their role, and a sentence on why it is not a higher one (empty for an operator)."""

    name: str
    role: Role
    why: str = ""
    logged_in: bool = False  # whether there is a login to end, even one that allows nothing


@dataclass(frozen=True)
class Request:
    """How the server was reached: its own address, the request's headers, and the client's IP (None: this machine)."""

    address: str | None
    headers: Mapping[str, str]
    ip: str | None = None

    def is_of_this_machine(self) -> bool:
        """Whether the request can only come from this machine: not through a proxy that says so in a header, nor from
        a page elsewhere whose name was made to resolve here (DNS rebinding) or of another port, which Host and Origin
        show.
        """
        host, origin = addresses.parse(self.headers.get("Host", "localhost")), self.headers.get("Origin")
        return (
            not any(name in self.headers for name in _FORWARDING)
            and host is not None
            and all(map(addresses.is_loopback, (self.address, host.name)))
            and (origin is None or addresses.is_origin_of(origin, host))
        )


@dataclass(frozen=True)
class Roles:
    """The e-mail addresses that ``[access]`` lists; ``*`` stands for everyone who can log in."""

    operators: frozenset[str] = frozenset()
    viewers: frozenset[str] = frozenset()

    def of(self, email: str) -> Role:
        """Return the highest role of this address; ``email`` is empty for a login without a verified one."""
        listed = {"*", _comparable(email)} if email else {"*"}
        if listed & self.operators:
            return "operator"
        return "viewer" if listed & self.viewers else "stranger"


def _comparable(email: str) -> str:
    """Ignore case, but only in ASCII: beyond it, two different letters may have the same lower case."""
    return email.lower() if email.isascii() else email


def read_roles(section: object) -> Roles:
    """Read the ``[access]`` section of the secrets. Raises ``ConfigError``."""
    if not isinstance(section, Mapping) or set(section) - {"operators", "viewers"}:
        raise ConfigError(texts.WRONG_SECTION)
    for name, value in section.items():
        if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, str) for one in value):
            raise ConfigError(texts.WRONG_LIST.format(name=name))
    return Roles(**{name: frozenset(map(_comparable, value)) for name, value in section.items()})


def without_login(request: Request, environment: Mapping[str, str]) -> Actor:
    """Who asks a server that has no login; ``FASHION_ACCESS`` may make all operators. Raises ``ConfigError``."""
    everyone = variable("FASHION_ACCESS", environment)
    if everyone not in ("", "everyone"):
        raise ConfigError(texts.WRONG_ACCESS.format(value=everyone))
    if request.is_of_this_machine():
        return Actor("this machine", "operator")
    name = f"{request.ip or 'this machine'}, not logged in"
    return Actor(name, "operator") if everyone else Actor(name, "viewer", texts.NOT_SHARED)


def with_login(claims: Mapping[str, Any], roles: Roles) -> Actor:
    """Return the actor on a server with a login; ``claims`` are those of the id token."""
    if claims.get("is_logged_in") is not True:
        return Actor("not logged in", "stranger", texts.LOGIN_FIRST)
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified", True) not in (True, "true"):
        email = ""
    name = printable(email or str(claims.get("sub", texts.NO_NAME)))
    expires = claims.get("exp")
    if not (isinstance(expires, int | float) and time.time() < expires):
        return Actor(name, "stranger", texts.EXPIRED)
    role = roles.of(email)
    why = {"operator": "", "viewer": texts.LOOK_ONLY, "stranger": texts.NO_ACCESS.format(name=name)}
    return Actor(name, role, why[role], logged_in=True)


def may_look(claims: Mapping[str, Any], roles: Roles | None) -> bool:
    """Whether a visitor with these ``claims`` may still see the store; without ``roles`` everyone may."""
    return roles is None or with_login(claims, roles).role != "stranger"


def providers(section: object) -> list[str | None]:
    """The login providers that ``[auth]`` of the secrets names; None stands for one without a name."""
    if not isinstance(section, Mapping) or "client_id" in section:
        return [None]
    return [str(name) for name, value in section.items() if isinstance(value, Mapping)] or [None]
