"""The texts of each room: every one is used, and filled with the values that it names."""

import ast
from collections.abc import Iterator
from importlib import import_module
from string import Formatter

import pytest

from tests.test_architecture import MODULES, nodes

ROOMS = {name.rpartition(".")[0] for name in MODULES if name.endswith("texts")}


def texts_of(room: str) -> dict[str, object]:
    found = vars(import_module("pages.texts" if room == "pages" else f"fashion_core.{room}.texts"))
    return {name: value for name, value in found.items() if name.isupper()}


def room_of_texts(module: str) -> str | None:
    """The room whose texts a module knows as ``texts``."""
    for node in nodes(module):
        if isinstance(node, ast.ImportFrom) and node.module and "texts" in [alias.name for alias in node.names]:
            return node.module.removeprefix("fashion_core.")
    return None


def fields(texts: object) -> set[str]:
    """What one text names, or what all do where the code chooses between them."""
    every = texts.values() if isinstance(texts, dict) else [texts]
    return {name for text in every if isinstance(text, str) for _, name, _, _ in Formatter().parse(text) if name}


def filled(module: str) -> Iterator[tuple[ast.expr, set[str]]]:
    """Where a module fills something in by name, and the names of the values."""
    for node in nodes(module):
        if not isinstance(node, ast.Call) or any(keyword.arg is None for keyword in node.keywords):
            continue
        given = {keyword.arg for keyword in node.keywords if keyword.arg}
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            yield node.func.value, given
        elif ast.unparse(node.func).endswith("counted"):
            yield from ((text, given | {"count"}) for text in node.args[1:])


def chosen(text: ast.expr, known: dict[str, object]) -> object:
    """What the expression takes from ``texts``, if it does."""
    if isinstance(text, ast.Attribute) and ast.unparse(text.value) == "texts":
        return known[text.attr]
    if isinstance(text, ast.Subscript):
        several = chosen(text.value, known)
        return (
            several[text.slice.value] if isinstance(several, dict) and isinstance(text.slice, ast.Constant) else several
        )
    return None


@pytest.mark.parametrize("module", sorted(name for name in MODULES if room_of_texts(name) in ROOMS))
def test_texts_are_filled_with_the_values_that_they_name(module: str) -> None:
    known = texts_of(room_of_texts(module) or "")
    for text, given in filled(module):
        assert fields(chosen(text, known)) <= given, ast.unparse(text)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_every_text_is_used(room: str) -> None:
    words = {word for module in MODULES for node in nodes(module) if (word := _word(node))}
    assert texts_of(room).keys() <= words


def _word(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else None
