"""A real OpenID provider on this machine, and the secrets for logging in with it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import oidc_provider_mock
from playwright.sync_api import Page, expect

from fashion_core import files
from tests.support.browsing import WORD_JOINER, Server, open_page

ANNA, BERT, CARL = "anna@example.org", "bert@example.org", "carl@example.org"


def shown(email: str, role: str) -> str:
    return f"{email.replace('@', f'@{WORD_JOINER}')} · {role}"


@contextmanager
def provider(lasts: timedelta = timedelta(hours=1)) -> Iterator[str]:
    """Its address; logins expire after ``lasts``. A ``sub`` that is an address becomes the e-mail."""
    with oidc_provider_mock.run_server_in_thread(access_token_max_age=lasts) as running:
        yield f"http://localhost:{running.server_port}"


def write_secrets(
    path: Path, port: int, provider: str, operators: Sequence[str] = (), viewers: Sequence[str] = ()
) -> None:
    """Atomically: a server may read the file at any time."""
    secrets = f"""
        [auth]
        redirect_uri = "http://localhost:{port}/oauth2callback"
        cookie_secret = "a secret that only this test knows, long enough"
        client_id = "fashion-core"
        client_secret = "another one"
        server_metadata_url = "{provider}/.well-known/openid-configuration"
        [access]
        operators = {list(operators)}
        viewers = {list(viewers)}
    """
    files.write_bytes(path, secrets.encode(), durable=False)


def log_in(page: Page, server: Server, email: str) -> None:
    open_page(page, server.url)
    page.get_by_role("button", name="Log in").click()
    page.get_by_placeholder("sub").fill(email)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{server.url}/")
    expect(page.get_by_test_id("stApp")).to_be_visible()
