"""Who may do what, decided from the address, the secrets, the environment and a login's claims."""

import re
import time
from collections.abc import Mapping
from typing import Any

import pytest

from fashion_core.access import texts
from fashion_core.access.roles import Request, Roles, may_look, providers, read_roles, with_login, without_login
from fashion_core.errors import ConfigError

NOW = time.time()
CLAIMS = {"is_logged_in": True, "email": "anna@example.org", "exp": NOW + 3600}
ROLES = Roles(operators=frozenset({"anna@example.org"}), viewers=frozenset({"bert@example.org"}))


def asked(address: str | None, headers: Mapping[str, str]) -> Request:
    return Request(address, headers, "192.0.2.1")


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        *((address, {}) for address in ("localhost", "127.0.0.1", "127.0.0.2", "::1", "[::1]")),
        *(("localhost", {"Host": host}) for host in ("localhost:8501", "127.0.0.1:80", "[::1]:8501", "localhost")),
    ],
)
def test_person_at_this_machine_by_any_of_its_names_is_an_operator(address: str, headers: dict[str, str]) -> None:
    assert without_login(asked(address, headers), {}).role == "operator"


@pytest.mark.parametrize(
    "headers",
    [{"Host": "localhost:8501", "Origin": "http://localhost:8501"}, {"Host": "[::1]", "Origin": "http://[::1]"}],
)
def test_person_on_a_page_of_this_very_port_is_an_operator(headers: dict[str, str]) -> None:
    assert without_login(asked("localhost", headers), {}).role == "operator"


OTHER_ORIGINS = ("http://localhost:9999", "http://127.0.0.1:8501", "http://evil.test", "null", "")


@pytest.mark.parametrize("origin", OTHER_ORIGINS)
def test_page_of_another_port_or_name_is_no_operator(origin: str) -> None:
    headers = {"Host": "localhost:8501", "Origin": origin}
    assert without_login(asked("localhost", headers), {}).role == "viewer"


PROXIES = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip")
OTHER_NAMES = ("evil.test:8501", "192.0.2.7", "localhost.evil.test", "", "[::2]:8501", "::1:x")
OTHER_ADDRESSES = (None, "", "0.0.0.0", "::", "192.0.2.7", "a.example", "unix:///x", "::ffff:0.0.0.0")


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        *((address, {}) for address in OTHER_ADDRESSES),
        *(("localhost", {"Host": host}) for host in OTHER_NAMES),
        *(("localhost", {"Host": "localhost", header: "x"}) for header in PROXIES),
    ],
)
def test_anyone_else_may_only_look_and_is_told_why(address: str | None, headers: dict[str, str]) -> None:
    found = without_login(asked(address, headers), {})
    assert (found.role, found.why) == ("viewer", texts.NOT_SHARED)
    assert found.name == "192.0.2.1, not logged in"


@pytest.mark.parametrize("address", ["0.0.0.0", "localhost"])
def test_everyone_may_do_all_where_that_is_set_and_in_no_other_words(address: str) -> None:
    assert without_login(asked(address, {}), {"FASHION_ACCESS": "everyone"}).role == "operator"
    for value in ("all", "Everyone", "1", "everyone "):
        with pytest.raises(ConfigError, match="FASHION_ACCESS should be everyone or not set"):
            without_login(asked(address, {}), {"FASHION_ACCESS": value})


@pytest.mark.parametrize(
    ("section", "email", "role"),
    [
        ({"operators": ["anna@example.org"], "viewers": ["bert@example.org"]}, "anna@example.org", "operator"),
        ({"operators": ["anna@example.org"], "viewers": ["bert@example.org"]}, "bert@example.org", "viewer"),
        ({"operators": ["anna@example.org"], "viewers": ["bert@example.org"]}, "carl@example.org", "stranger"),
        ({"operators": ["anna@example.org"], "viewers": ["bert@example.org"]}, "*", "stranger"),
        ({"operators": ["anna@example.org"], "viewers": ["*"]}, "anna@example.org", "operator"),
        ({"operators": ["anna@example.org"], "viewers": ["*"]}, "x@y.z", "viewer"),
        ({"operators": ["anna@example.org"], "viewers": ["*"]}, "", "viewer"),
        ({"operators": ["Anna@Example.org"]}, "aNNA@example.ORG", "operator"),
        ({"operators": ["karl@a.org"]}, "\u212aarl@a.org", "stranger"),  # a letter that only looks like k in lower case
        ({"operators": ["strasse@a.org"]}, "straße@a.org", "stranger"),
    ],
)
def test_roles_come_from_the_lists(section: dict[str, list[str]], email: str, role: str) -> None:
    assert read_roles(section).of(email) == role


@pytest.mark.parametrize(
    "section", [{"operator": []}, {"operators": "a@b.c"}, {"viewers": [1]}, {"viewers": {"a": 1}}, "x", ["a"], None]
)
def test_bad_lists_are_one_sentence(section: object) -> None:
    with pytest.raises(ConfigError, match=r"\[access\] in the secrets"):
        read_roles(section)


@pytest.mark.parametrize(
    ("name", "role", "why"),
    [
        ("anna", "operator", "^$"),
        ("bert", "viewer", f"^{texts.LOOK_ONLY}$"),
        ("carl", "stranger", "carl@example.org, who has no access to this server"),
    ],
)
def test_login_says_who_it_is_and_why_they_may_not_do_more_and_can_end(name: str, role: str, why: str) -> None:
    found = with_login({**CLAIMS, "email": f"{name}@example.org"}, ROLES)
    assert (found.name, found.role, found.logged_in) == (f"{name}@example.org", role, True)
    assert re.search(why, found.why)


@pytest.mark.parametrize("claims", [{}, {"is_logged_in": False}, {**CLAIMS, "is_logged_in": "yes"}])
def test_without_a_login_there_is_nothing_to_see(claims: dict[str, Any]) -> None:
    assert with_login(claims, ROLES).role == "stranger"
    assert not may_look(claims, ROLES)
    assert may_look(claims, None), "until a login is asked for"


@pytest.mark.parametrize("exp", [NOW, NOW - 1, None, "9999999999", True], ids=["now", "past", "none", "text", "true"])
def test_login_without_a_time_to_come_counts_as_ended(exp: object) -> None:
    found = with_login({**CLAIMS, "exp": exp}, ROLES)
    assert (found.role, found.why, found.logged_in) == ("stranger", texts.EXPIRED, False)


@pytest.mark.parametrize("verified", [False, "false", None, 0, "no"])
def test_address_that_is_not_verified_does_not_count(verified: object) -> None:
    claims = {**CLAIMS, "sub": "17", "email_verified": verified}
    assert with_login(claims, ROLES).role == "stranger"
    found = with_login(claims, Roles(viewers=frozenset({"*"})))
    assert (found.role, found.name) == ("viewer", "17")
    for counted in (True, "true"):
        assert with_login({**claims, "email_verified": counted}, ROLES).role == "operator"


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ({"client_id": "x", "client_kwargs": {}}, [None]),
        ({"redirect_uri": "x", "google": {"client_id": "x"}, "entra": {"client_id": "y"}}, ["google", "entra"]),
        ({}, [None]),
        ("nonsense", [None]),
    ],
)
def test_providers_are_those_of_the_secrets(section: object, names: list[str | None]) -> None:
    assert providers(section) == names


def test_who_was_let_in_may_look_for_as_long_as_they_are_listed_and_logged_in() -> None:
    now = {**CLAIMS, "exp": time.time() + 60}
    assert may_look(now, ROLES)
    assert not may_look(now, read_roles({}))
    assert not may_look({**now, "exp": time.time() - 1}, ROLES)
