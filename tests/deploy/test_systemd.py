"""The unit of docs/deploy.md, as systemd itself reads it."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.test_nginx import printed
from tests.support.engines import unavailable


def test_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        unavailable("no systemd here: install Debian's systemd")
    unit, program = printed("systemd"), "/opt/fashion-core/bin/fashion-core"
    assert unit.count(program) == 1
    (tmp_path / "fashion-core.service").write_text(unit.replace(program, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "fashion-core.service"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
