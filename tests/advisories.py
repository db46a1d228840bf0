"""``python -m tests.advisories``: what is publicly known against the installed packages, where the index tells it.

Exit status: 0 nothing is known or nobody could be asked, which is said; 1 something is known.
"""

import json
import subprocess
import sys
from typing import Any

_SECONDS = 300
_COMMAND = [sys.executable, "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off"]


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


def main() -> int:
    """Ask, and say what came of it."""
    try:
        done = subprocess.run(_COMMAND, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        print(f"SKIPPED: the service of advisories gave no answer within {_SECONDS} s.")
        return 0
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print(f"SKIPPED: no service of advisories can be asked here: {done.stderr.strip()[-300:]}")
        return 0
    status, lines = verdict(dependencies)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
