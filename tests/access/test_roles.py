"""Who may do what, decided from the address, the secrets, the environment and a login's claims."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from fashion_core.access import roles as access
from fashion_core.access.roles import Request, Roles, may_look, read_roles, with_login, without_login
from fashion_core.errors import ConfigError

NOW = time.time()
CLAIMS = {"is_logged_in": True, "email": "anna@example.org", "exp": NOW + 3600}
ROLES = Roles(operators=frozenset({"anna@example.org"}), viewers=frozenset({"bert@example.org"}))


def asked(address: str | None, headers: Mapping[str, str] | None = None) -> Request:
    return Request(address, headers or {}, "192.0.2.1")


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "127.0.0.2", "::1", "[::1]"])
def test_this_machines_person_is_an_operator(address: str) -> None:
    assert without_login(asked(address), {}).role == "operator"


@pytest.mark.parametrize(
    "address", [None, "", "0.0.0.0", "::", "192.0.2.7", "a.example", "unix:///x", "::ffff:0.0.0.0"]
)
def test_any_other_address_is_read_only_and_says_why(address: str | None) -> None:
    found = without_login(asked(address), {})
    assert (found.role, found.why) == ("viewer", access.NOT_SHARED)
    assert found.name == "192.0.2.1, not logged in"


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:80", "[::1]:8501", "localhost"])
def test_this_machine_may_be_called_by_its_own_names(host: str) -> None:
    assert without_login(asked("localhost", {"Host": host}), {}).role == "operator"


@pytest.mark.parametrize("host", ["evil.test:8501", "192.0.2.7", "localhost.evil.test", "", "[::2]:8501", "::1:x"])
def test_another_name_that_leads_here_is_read_only(host: str) -> None:
    assert without_login(asked("localhost", {"Host": host}), {}).role == "viewer"


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"])
def test_what_a_proxy_passes_on_is_read_only(header: str) -> None:
    assert without_login(asked("localhost", {"Host": "localhost", header: "x"}), {}).role == "viewer"


@pytest.mark.parametrize("address", ["0.0.0.0", "localhost"])
def test_everyone_may_do_all_where_that_is_set(address: str) -> None:
    assert without_login(asked(address), {"FASHION_ACCESS": "everyone"}).role == "operator"


@pytest.mark.parametrize("address", ["0.0.0.0", "localhost"])
@pytest.mark.parametrize("value", ["all", "Everyone", "1", "everyone "])
def test_bad_setting_is_one_sentence(address: str, value: str) -> None:
    with pytest.raises(ConfigError, match="FASHION_ACCESS should be everyone or not set"):
        without_login(asked(address), {"FASHION_ACCESS": value})


def test_roles_come_from_the_lists() -> None:
    assert [ROLES.of(name) for name in ("anna@example.org", "bert@example.org", "carl@example.org")] == [
        "operator",
        "viewer",
        "stranger",
    ]


def test_case_of_an_address_does_not_matter() -> None:
    roles = read_roles({"operators": ["Anna@Example.org"]})
    assert roles.of("aNNA@example.ORG") == "operator"


@pytest.mark.parametrize(("listed", "other"), [("karl@a.org", "\u212aarl@a.org"), ("strasse@a.org", "straße@a.org")])
def test_letters_that_only_look_alike_in_lower_case_are_different(listed: str, other: str) -> None:
    assert read_roles({"operators": [listed]}).of(other) == "stranger"


def test_star_means_all_who_can_log_in_and_the_greater_right_counts() -> None:
    roles = read_roles({"operators": ["anna@example.org"], "viewers": ["*"]})
    assert (roles.of("anna@example.org"), roles.of("x@y.z"), roles.of("")) == ("operator", "viewer", "viewer")


def test_address_that_is_a_star_is_no_star() -> None:
    assert ROLES.of("*") == "stranger"


@pytest.mark.parametrize(
    "section", [{"operator": []}, {"operators": "a@b.c"}, {"viewers": [1]}, {"viewers": {"a": 1}}, "x", ["a"], None]
)
def test_bad_lists_are_one_sentence(section: object) -> None:
    with pytest.raises(ConfigError, match=r"\[access\] in the secrets"):
        read_roles(section)


def test_no_lists_let_nobody_in() -> None:
    assert read_roles({}) == Roles()
    assert with_login(CLAIMS, Roles()).role == "stranger"


def test_operator_has_no_reason_and_can_log_out() -> None:
    found = with_login(CLAIMS, ROLES)
    assert (found.name, found.role, found.why, found.logged_in) == ("anna@example.org", "operator", "", True)


def test_viewer_is_told_what_is_not_theirs() -> None:
    found = with_login({**CLAIMS, "email": "bert@example.org"}, ROLES)
    assert (found.role, found.why) == ("viewer", access.LOOK_ONLY)


def test_who_is_in_no_list_is_told_so_and_can_log_out() -> None:
    found = with_login({**CLAIMS, "email": "carl@example.org"}, ROLES)
    assert (found.role, found.logged_in) == ("stranger", True)
    assert "carl@example.org, who has no access to this server" in found.why


@pytest.mark.parametrize("claims", [{}, {"is_logged_in": False}, {**CLAIMS, "is_logged_in": "yes"}])
def test_without_a_login_there_is_nothing_to_see(claims: dict[str, Any]) -> None:
    assert with_login(claims, ROLES).role == "stranger"


@pytest.mark.parametrize("exp", [NOW, NOW - 1, None, "9999999999", True])
def test_login_without_a_time_to_come_counts_as_ended(exp: object) -> None:
    found = with_login({**CLAIMS, "exp": exp}, ROLES)
    assert (found.role, found.why, found.logged_in) == ("stranger", access.EXPIRED, False)


@pytest.mark.parametrize("verified", [False, "false", None, 0, "no"])
def test_address_that_is_not_verified_does_not_count(verified: object) -> None:
    claims = {**CLAIMS, "sub": "17", "email_verified": verified}
    assert with_login(claims, ROLES).role == "stranger"
    found = with_login(claims, Roles(viewers=frozenset({"*"})))
    assert (found.role, found.name) == ("viewer", "17")


@pytest.mark.parametrize("verified", [True, "true"])
def test_verified_address_counts(verified: object) -> None:
    assert with_login({**CLAIMS, "email_verified": verified}, ROLES).role == "operator"


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
    assert access.providers(section) == names


def test_who_was_let_in_may_look_for_as_long_as_they_are_listed_and_logged_in() -> None:
    now = {**CLAIMS, "exp": time.time() + 60}
    assert may_look(now, ROLES)
    assert not may_look(now, Roles())
    assert not may_look({**now, "exp": time.time() - 1}, ROLES)


def test_who_was_let_in_without_a_login_may_look_until_one_is_asked_for() -> None:
    assert may_look({}, None)
    assert not may_look({}, ROLES)
