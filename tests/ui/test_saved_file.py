"""What the pages show of any file that can be described."""

import json
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

TREES = [("weights", "weights"), (None, None), ([1.0], [1.0]), (torch.ones(2), "float32 (2,)")]


def page(path: str) -> None:
    from pathlib import Path

    from fashion_core.formats.inspect import inspect
    from fashion_core.ui import saved_file

    saved_file.show_inside(inspect(Path(path)), "file")


@pytest.mark.parametrize(("content", "tree"), TREES, ids=repr)
def test_whatever_a_file_holds_is_shown_as_a_tree(tmp_path: Path, content: object, tree: object) -> None:
    torch.save(content, tmp_path / "file")
    app = AppTest.from_function(page, kwargs={"path": str(tmp_path / "file")}, default_timeout=30).run()
    assert not app.exception
    assert json.loads(app.json[0].value) == tree
