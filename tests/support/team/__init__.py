"""A team's own models: the listing of the README, and a net with batch norm, dropout and residual branches."""

import re
from pathlib import Path
from typing import Final

from tests.support.processes import ROOT

RESIDUAL: Final = Path(__file__).with_name("residual_models.py")


def readme_models(folder: Path) -> Path:
    """The file of the README, as it is written there."""
    listing = re.search(r"<!-- own model -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert listing is not None
    path = folder / "my_models.py"
    path.write_text(listing[1])
    return path
