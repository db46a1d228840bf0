"""The source of this app's own models as text, for scripts that build them without this app."""

import ast
import re
from pathlib import Path

from fashion_core.cache import Cache
from fashion_core.config import FASHION, MODEL_CLASSES, Shape

_sources: Cache[str] = Cache(len(MODEL_CLASSES))


def class_source(model: str, shape: Shape = FASHION) -> str:
    """The source of a model's class for images of this shape, read from the file that the app itself runs.

    Read once, by one thread: Python 3.11's parser fails where two are in it, https://github.com/python/cpython/issues/106905
    """

    def read() -> str:
        source, name = Path(__file__).with_name("networks.py").read_text(), MODEL_CLASSES[model]
        node = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)
        return ast.get_source_segment(source, node) or ""

    found = _sources.get(model, None, read).replace(", shape: Shape = FASHION", "")
    return re.sub(r"\bshape\.(\w+)", lambda part: str(getattr(shape, part[1])), found)
