"""What a disk may hold after a power cut: a model of folders and files, fed with the operations of a real process.

A name that came, went or moved is sure to be on the disk once its folder has been synced after it; until then it may
be there or not, whatever happened to the other names. So it is with what was written to a file and the sync of that
file: until then all of it may be missing, or half of it, or it may be zeros. Real file systems keep more of an order;
what holds here does not depend on theirs. (The method is that of T. S. Pillai et al., "All File Systems Are Not Created
Equal", OSDI 2014.)
"""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fashion_core.files import TEMPORARY_PREFIX
from tests.faults.operations import Operation, Perform

Node = int
ROOT: Node = 0
Tree = dict[tuple[Node, str], Node]
"""What is there, by folder and name."""
State = dict[str, bytes | None]
"""The bytes of a file, or None for a folder, by path below the root. Half-made files are there, but empty."""


@dataclass
class Recorder:
    """Records each operation once it is done; a sync covers what was recorded before it began."""

    story: list[tuple[Operation, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, operation: Operation, perform: Perform) -> Any:
        if operation.kind in ("open", "ask"):
            return perform()
        before, is_sync = len(self.story), operation.kind == "sync"
        with nullcontext() if is_sync else self.lock:  # two threads are noted in the order in which they acted
            done = perform()
            self.story.append((operation, before if is_sync else len(self.story)))
        return done


class _Change(NamedTuple):
    folder: Node = ROOT
    names: tuple[tuple[str, Node | None], ...] = ()
    file: Node | None = None


class Disk:
    """The story of one folder, which was empty or not there before it."""

    def __init__(self, root: Path, story: Sequence[tuple[Operation, int]]) -> None:
        self.root, self.story = root, story
        self._folders: set[Node] = {ROOT}
        self._pieces: dict[Node, list[bytes]] = {}
        self._changes: list[_Change] = []
        self._syncs: list[tuple[Node, int] | None] = []
        tree: Tree = {}
        for operation, covers in story:
            self._changes.append(self._change_of(operation, tree))
            self._syncs.append((self._find(operation.path, tree), covers) if operation.kind == "sync" else None)
            _apply(self._changes[-1], tree)

    def _find(self, path: Path, tree: Tree) -> Node:
        node = ROOT
        for name in path.relative_to(self.root).parts:
            node = tree[node, name]
        return node

    def _change_of(self, operation: Operation, tree: Tree) -> _Change:
        path, kind = operation.path, operation.kind
        if path == self.root or kind == "sync":
            return _Change()
        if kind == "write":
            file = self._find(path, tree)
            self._pieces[file].append(operation.data)
            return _Change(file=file)
        folder, node = self._find(path.parent, tree), len(self._pieces) + len(self._folders)
        if kind == "mkdir":
            self._folders.add(node)
            return _Change(folder, ((path.name, node),))
        if kind == "create":
            self._pieces[node] = []
            return _Change(folder, ((path.name, node),))
        if kind == "rename":
            assert operation.target is not None
            assert operation.target.parent == path.parent
            return _Change(folder, ((path.name, None), (operation.target.name, self._find(path, tree))))
        assert kind in ("unlink", "rmdir"), "nothing in this story is written over in place"
        return _Change(folder, ((path.name, None),))

    def _tree(self, length: int) -> Tree:
        tree: Tree = {}
        for change in self._changes[:length]:
            _apply(change, tree)
        return tree

    def live(self, length: int) -> State:
        """What any process sees after ``length`` operations, while the power stays on."""
        return self._state(self._tree(length), self._written(length))

    def sure(self, folder: str, length: int) -> int | None:
        """How many of the first ``length`` operations are sure to be on the disk, as far as this folder's names go.

        None if the folder is not there.
        """
        try:
            return self._sure(self._find(self.root / folder, self._tree(length)), length)
        except KeyError:
            return None

    def _sure(self, node: Node, length: int) -> int:
        return max((found[1] for found in self._syncs[:length] if found and found[0] == node), default=0)

    def after_power_cut(self, length: int, most: int, sample: int) -> Iterator[State]:
        """What the disk may hold if the power fails after ``length`` operations.

        That is every subset of those that are not synced where there are at most ``most`` of them; else those of up to
        two and their complements, and ``sample`` others.
        """
        sure: Tree = {}
        unsure: list[_Change] = []
        until = {node: self._sure(node, length) for node in self._folders}
        for at, change in enumerate(self._changes[:length]):
            if at < until[change.folder]:
                _apply(change, sure)
            elif change.names:
                unsure.append(change)
        written = self._written(length)
        for chosen in _choices(len(unsure), most, sample):
            tree = dict(sure)
            for at in sorted(chosen):
                _apply(unsure[at], tree)
            state = self._state(tree, written)
            yield state
            yield from self._torn(state, tree, written, length)

    def _written(self, length: int) -> dict[Node, int]:
        return Counter(change.file for change in self._changes[:length] if change.file is not None)

    def _torn(self, state: State, tree: Tree, written: dict[Node, int], length: int) -> Iterator[State]:
        """The same state with each possible damage of each file whose bytes are not all synced."""
        paths = {node: path for path, node in _paths(tree)}
        for node, count in written.items():
            synced = self._written(self._sure(node, length)).get(node, 0)
            if synced == count or node not in paths or _is_half_made(paths[node]):
                continue
            before, now = self._bytes(node, synced), self._bytes(node, count)
            more = len(now) - len(before)
            for damaged in (before, now[: len(before) + more // 2], before + bytes(more)):
                yield {**state, paths[node]: damaged}

    def _state(self, tree: Tree, written: dict[Node, int]) -> State:
        return {
            path: None
            if node in self._folders
            else self._bytes(node, 0 if _is_half_made(path) else written.get(node, 0))
            for path, node in _paths(tree)
        }

    @cache  # noqa: B019 -- for as long as the test
    def _bytes(self, file: Node, pieces: int) -> bytes:
        return b"".join(self._pieces[file][:pieces])


def _paths(tree: Tree) -> Iterator[tuple[str, Node]]:
    waiting = [(ROOT, "")]
    while waiting:
        folder, path = waiting.pop()
        for (parent, name), node in tree.items():
            if parent == folder:
                yield path + name, node
                waiting.append((node, f"{path}{name}/"))


def _is_half_made(path: str) -> bool:
    return path.rpartition("/")[2].startswith(TEMPORARY_PREFIX)


def _apply(change: _Change, tree: Tree) -> None:
    for name, node in change.names:
        if node is None:
            tree.pop((change.folder, name), None)
        else:
            tree[change.folder, name] = node


def _choices(count: int, most: int, sample: int) -> Iterator[set[int]]:
    everything = set(range(count))
    sizes = range(count + 1) if count <= most else range(3)
    for chosen in itertools.chain.from_iterable(itertools.combinations(everything, size) for size in sizes):
        yield set(chosen)
        if count > most:
            yield everything.difference(chosen)
    for _ in range(sample if count > most else 0):
        share = random.random()
        yield {at for at in everything if random.random() < share}
