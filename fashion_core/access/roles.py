"""Who may do what: decided from the server's address, the secrets, the environment and what a login says.

Roles: an operator may do all, a viewer may look, use models and take files away, a stranger sees nothing of the store.
"""

import ipaddress
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fashion_core.errors import ConfigError, printable

Role = Literal["operator", "viewer", "stranger"]
EVERYONE: Final = "everyone"
ANYONE: Final = "*"
LOGIN_FIRST: Final = "Log in to see the runs of this server."
EXPIRED: Final = "Your login has expired: log in again."
LOOK_ONLY: Final = "You may look, use models and download; only operators may start, stop, import or change anything."
NOT_SHARED: Final = (
    "Read-only: this server can be reached from other machines, or was reached under a name other than localhost, and "
    "has no login. Set up a login, or set FASHION_ACCESS=everyone to let everyone who reaches it do everything; see "
    '"Sharing it" in the README.'
)
COUNTED_CLAIMS: Final = ("is_logged_in", "sub", "email", "email_verified", "exp")
"""All that ``with_login`` asks a login for."""
_FORWARDING: Final = (
    *("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server"),
    *("X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip"),
)


@dataclass(frozen=True)
class Actor:
    """Who asks, what they may do, and the sentence that says why it is not more; empty for an operator.

    ``logged_in`` is whether they have a login to end, whatever it is good for.
    """

    name: str
    role: Role
    why: str = ""
    logged_in: bool = False


@dataclass(frozen=True)
class Request:
    """How the server was reached: its own address, the request's headers, and whom it came from (None: from here)."""

    address: str | None
    headers: Mapping[str, str]
    ip: str | None = None

    def is_of_this_machine(self) -> bool:
        """Whether only this machine can have asked.

        A proxy on this machine asks for others, and so does a page elsewhere whose name was made to lead here (DNS
        rebinding): the first says so in a header, if it is set up to, the second in the host that it asks for and in
        the origin of its page.
        """
        forwarded = any(name in self.headers for name in _FORWARDING)
        host, origin = self.headers.get("Host", "localhost"), self.headers.get("Origin", "http://localhost")
        names = (self.address, _without_port(host), _without_port(origin.rpartition("//")[2]))
        return not forwarded and all(map(is_loopback, names))


@dataclass(frozen=True)
class Roles:
    """The e-mail addresses that ``[access]`` lists; ``*`` stands for all who can log in."""

    operators: frozenset[str] = frozenset()
    viewers: frozenset[str] = frozenset()

    def of(self, email: str) -> Role:
        """The most that this address may do; an empty one is of somebody who has none that counts."""
        listed = {ANYONE, _comparable(email)} if email else {ANYONE}
        if listed & self.operators:
            return "operator"
        return "viewer" if listed & self.viewers else "stranger"


def is_loopback(name: str | None) -> bool:
    """Whether an address leads to this machine alone; no address at all is that of every interface."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address((name or "").strip("[]")).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    bare, colon, port = host.rpartition(":")
    return bare if colon and port.isdecimal() and not bare.endswith(":") else host


def _comparable(email: str) -> str:
    """Without regard to case; only in ASCII, for elsewhere two different letters may have the same small one."""
    return email.lower() if email.isascii() else email


def read_roles(section: object) -> Roles:
    """The roles that ``[access]`` of the secrets gives. Raises ``ConfigError``."""
    if not isinstance(section, Mapping) or set(section) - {"operators", "viewers"}:
        raise ConfigError("[access] in the secrets should hold operators = […] and viewers = […] and nothing else.")
    return Roles(**{str(name): _addresses(str(name), value) for name, value in section.items()})


def _addresses(name: str, value: object) -> frozenset[str]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f'{name} of [access] in the secrets should be a list such as ["anna@example.org"].')
    return frozenset(map(_comparable, value))


def everyone_may(environment: Mapping[str, str]) -> bool:
    """Whether ``FASHION_ACCESS`` gives all who reach the server all rights. Raises ``ConfigError``."""
    value = environment.get("FASHION_ACCESS", "")
    if value not in ("", EVERYONE):
        raise ConfigError(f"FASHION_ACCESS should be {EVERYONE} or not set, not {value!r}.")
    return value == EVERYONE


def without_login(request: Request, environment: Mapping[str, str]) -> Actor:
    """Who asks a server on which nobody logs in. Raises ``ConfigError``."""
    everyone = everyone_may(environment)
    if request.is_of_this_machine():
        return Actor("this machine", "operator")
    name = f"{request.ip or 'this machine'}, not logged in"
    return Actor(name, "operator") if everyone else Actor(name, "viewer", NOT_SHARED)


def with_login(claims: Mapping[str, Any], roles: Roles, now: float | None = None) -> Actor:
    """Who asks a server on which people log in; ``claims`` are those of their id token, ``now`` in seconds."""
    if claims.get("is_logged_in") is not True:
        return Actor("not logged in", "stranger", LOGIN_FIRST)
    email = verified_email(claims)
    name = printable(email or str(claims.get("sub", "no name")))
    if not _is_current(claims.get("exp"), time.time() if now is None else now):
        return Actor(name, "stranger", EXPIRED)
    role = roles.of(email)
    why = {
        "operator": "",
        "viewer": LOOK_ONLY,
        "stranger": f"You are logged in as {name}, who has no access to this server: ask its owner to add you.",
    }
    return Actor(name, role, why[role], logged_in=True)


def may_look(claims: Mapping[str, Any], roles: Roles | None) -> bool:
    """Whether whoever was let in with these ``claims`` may still see the store; everyone may without any ``roles``."""
    return roles is None or with_login(claims, roles).role != "stranger"


def verified_email(claims: Mapping[str, Any]) -> str:
    """The e-mail address of a login, or nothing if the provider says that it has not been verified."""
    email, verified = claims.get("email"), claims.get("email_verified", True)
    return email if isinstance(email, str) and verified in (True, "true") else ""


def _is_current(expires: object, now: float) -> bool:
    return isinstance(expires, int | float) and now < expires


def providers(section: object) -> list[str | None]:
    """Whom people can log in with, as ``[auth]`` of the secrets names them; None is the one without a name."""
    if not isinstance(section, Mapping) or "client_id" in section:
        return [None]
    return [str(name) for name, value in section.items() if isinstance(value, Mapping)] or [None]
