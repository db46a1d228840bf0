"""What Host, Origin and FASHION_HOSTS name, as browsers compare them."""

import pytest

from fashion_core.access.addresses import Address, is_loopback, is_origin_of, parse, parse_hosts
from fashion_core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost", Address("localhost")),
        ("LocalHost.:8501", Address("localhost", 8501)),
        ("[::1]:80", Address("[::1]", 80)),
        ("my_app.a-b.example", Address("my_app.a-b.example")),
    ],
)
def test_address_is_read_whatever_its_case_and_final_dot(text: str, address: Address) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "a b", "a:b", "a:", ":80", "::1", "::1:x", "[::1", "a@b", "127.0.0.1:8501@evil.test"),
        *("a/b", "a?b", "a#b", "a\\b", "a,b", "a\n", "a:123456", "http://a", "*", "~/a", "ü.example", "\u0661.example"),
    ],
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8501", "localhost:8501"),
        ("http://localhost:8501", "LOCALHOST.:8501"),
        ("http://a.example", "a.example:80"),
        ("http://a.example:80", "a.example"),
        ("https://a.example", "a.example:443"),
        ("https://a.example", "a.example"),
        ("http://[::1]:8501", "[::1]:8501"),
    ],
)
def test_page_of_this_address(origin: str, host: str) -> None:
    assert is_origin_of(origin, parse(host) or Address(""))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("null", "localhost:8501"),
        ("", "localhost:8501"),
        ("localhost:8501", "localhost:8501"),
        ("http://localhost:9999", "localhost:8501"),
        ("http://localhost", "localhost:8501"),
        ("https://a.example", "a.example:80"),
        ("http://a.example", "a.example:443"),
        ("http://a.example:0", "a.example"),
        ("http://127.0.0.1:8501", "localhost:8501"),
        ("http://localhost.evil.test:8501", "localhost:8501"),
        ("http://evil.test", "localhost:8501"),
        ("http://localhost:8501@evil.test", "localhost:8501"),
        ("http://localhost:8501/", "localhost:8501"),
        ("file://localhost:8501", "localhost:8501"),
        ("chrome-extension://localhost", "localhost"),
    ],
)
def test_page_of_another_address(origin: str, host: str) -> None:
    assert not is_origin_of(origin, parse(host) or Address(""))


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.8.0.1", "::1", "[::1]"])
def test_loopback_address_by_any_of_its_names(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name", [None, "", "0.0.0.0", "::", "127.1", "2130706433", "0x7f.1", "localhost.evil.test", "a.localhost", "[::2]"]
)
def test_names_that_lead_elsewhere_or_may(name: str | None) -> None:
    """Some lead here too, but no browser sends them: it writes 127.0.0.1."""
    assert not is_loopback(name)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", set()),
        (" , ", set()),
        ("Dash.example.org", {Address("dash.example.org")}),
        ("a.example:8443, b.example,", {Address("a.example", 8443), Address("b.example")}),
    ],
)
def test_setting_names_hosts_or_none(text: str, hosts: set[Address]) -> None:
    assert parse_hosts(text) == hosts


@pytest.mark.parametrize("entry", ["https://dash.example.org", "~/hosts", "*", "*.example.org", "a b", "a;b", "a/b"])
def test_setting_that_names_no_host_is_one_sentence(entry: str) -> None:
    with pytest.raises(ConfigError, match="FASHION_HOSTS should be names such as dash") as raised:
        parse_hosts(f"a.example, {entry}")
    assert repr(entry) in str(raised.value)
