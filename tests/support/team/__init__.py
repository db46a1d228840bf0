"""A team's own models: the listing of the README; beside it those that tests use."""

import re
from pathlib import Path

from tests.support.processes import ROOT


def readme_models(folder: Path) -> Path:
    """The file of the README, as it is written there."""
    listing = re.search(r"<!-- own model -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert listing is not None
    path = folder / "my_models.py"
    path.write_text(listing[1])
    return path
