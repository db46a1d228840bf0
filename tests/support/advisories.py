"""``python -m tests.support.advisories``: the known security holes of the installed packages, by pip-audit.

Exit status: 0 if none is known, or if no service of advisories can be reached, which is printed; 1 if one is known;
2 if pip-audit itself failed.
"""

import json
import re
import subprocess
import sys
from typing import Any

_SECONDS = 300
COMMAND = [sys.executable, "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off"]
_UNREACHED = re.compile(
    r"(requests\.exceptions\.(ConnectionError|ProxyError|SSLError|ReadTimeout|ConnectTimeout|ChunkedEncodingError|HTTPError)"
    r"|Could not connect to|PyPI is not redirecting properly)\b.*"
)
"""How pip-audit ends where no service answers, or one that tells no advisories: the last line of its traceback, or its
own words."""


def verdict(dependencies: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """The exit status and the lines to print for pip-audit's ``dependencies``."""
    known = [
        f"{package['name']} {package['version']}: {hole['id']} ({', '.join(hole['aliases'])}), mended in "
        f"{', '.join(hole['fix_versions']) or 'no version yet'}"
        for package in dependencies
        for hole in package.get("vulns", [])
    ]
    if known:
        return 1, known
    asked = [package for package in dependencies if "skip_reason" not in package]
    if not asked:
        return 0, [f"SKIPPED: the index tells no advisories for any of the {len(dependencies)} packages."]
    silent = len(dependencies) - len(asked)
    return 0, [f"Nothing is known against {len(asked)} packages; the index tells nothing about {silent} others."]


def ask(command: list[str]) -> tuple[int, list[str]]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        return verdict(json.loads(done.stdout)["dependencies"])
    except subprocess.TimeoutExpired:
        return 0, [f"SKIPPED: the service of advisories gave no answer within {_SECONDS} s."]
    except ValueError:
        return unanswered(done.stderr)


def unanswered(said: str) -> tuple[int, list[str]]:
    """The same where pip-audit gave no answer and said this instead: only a missing service is nobody's mistake."""
    unreached = _UNREACHED.search(said)
    if unreached:
        return 0, [f"SKIPPED: no service of advisories can be asked here: {unreached[0][:300]}"]
    return 2, [f"pip-audit gave no answer: {said.strip()[-300:]}"]


if __name__ == "__main__":
    exit_status, answer = ask(COMMAND)
    print("\n".join(answer))
    sys.exit(exit_status)
