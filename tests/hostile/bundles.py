"""Bundles that are not what they say: paths, links, doubled members, wrong digests, bombs, other people's ids.

Each family changes a good bundle of two runs, the second resumed from the first, and yields names and bytes.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fashion_core.bundles.layout import MANIFEST
from fashion_core.data.description import BUILT_IN
from fashion_core.models import build_model
from tests.hostile import archives, gadgets
from tests.hostile.building import Case
from tests.support.bundles import LINK, Part, archive, described, manifest_of, members_of, remade

_NAMES = (
    *("../evil", "../../evil", "/etc/passwd", "evil", ".", "..", "C:\\evil", "..\\evil", "//host/share", "~/evil"),
    *("{id}/../evil", "{id}/../../evil", "{id}/model_save/../../../evil", "{id}//run.json", "{id}/./run.json", "{id}"),
    *(
        "{id}/",
        "{id}/model_save/",
        "{id}/model_save",
        "{id}/model_save/00",
        "{id}/model_save/-1",
        "{id}/model_save/1e3",
    ),
    *("{id}/model_save/1.json.json", "{id}/model_save/9999999999", "{id}/model_save/٣", "{id}/model_save/1 "),
    *(
        "{id}/model_save/1/0",
        "{id}/stop",
        "{id}/lock",
        "{id}/verified.json",
        "{id}/labels.damaged.json",
        "{id}/RUN.JSON",
    ),
    *("{id}/.tmp-run.json-01234567", "{id}/run.json\n", "{id}/run\u202e.json", "{id}/original/evil", "{id}/RUN.JSON"),
    *("audit.jsonl", ".queue.lock", ".tmp-unbundled-0123456789abcdef/x", "20260101-000000-000-0000/run.json"),
    *("20260101-000000-000-ABCD/run.json", "２０２６0101-000000-000-0000/run.json", f"{'x' * 300}", "{id}/train.log/x"),
)
_NUMBERS: tuple[Any, ...] = (-1, 2**53, 10**400, 1e300, float("inf"), float("nan"), "x", None, [])


class Good(NamedTuple):
    path: Path
    first: str
    second: str

    @property
    def parts(self) -> list[Part]:
        return [Part(name, data) for name, data in members_of(self.path).items()]

    def with_manifest(self, **changed: Any) -> bytes:
        """All members as they are, and a manifest that says something else."""
        return archive(self.parts, {**manifest_of(self.path), **changed})

    def with_parts(self, parts: list[Part], true: bool = True) -> bytes:
        changed = {"members": described(parts)} if true else {}
        return archive(parts, {**manifest_of(self.path), **changed})

    def edited(self, name: str, edit: Callable[[dict[str, Any]], object]) -> bytes:
        """One record of the first run says something else, and the manifest is true of it."""
        record = json.loads(members_of(self.path)[f"{self.first}/{name}"])
        edit(record)
        return remade(self.path, {f"{self.first}/{name}": json.dumps(record).encode()})


def _set(*keys: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def edit(record: Any) -> None:
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = to

    return edit


def paths(good: Good) -> Iterator[Case]:
    for name in _NAMES:
        given = name.format(id=good.first)
        yield f"a member {given!r}", partial(good.with_parts, [*good.parts, Part(given, b"evil")])
        yield f"an empty member {given!r}", partial(good.with_parts, [*good.parts, Part(given, b"")])
        yield f"the log as {given!r}", partial(_renamed, good, f"{good.first}/train.log", given)


def _renamed(good: Good, name: str, given: str) -> bytes:
    return good.with_parts([replace(part, name=given) if part.name == name else part for part in good.parts])


def links(good: Good) -> Iterator[Case]:
    for part in good.parts:
        yield f"{part.name} as a link", partial(_changed, good, replace(part, data=b"/etc/passwd", attributes=LINK))
        yield f"{part.name} as a link of its size", partial(_changed, good, replace(part, attributes=LINK))


def _changed(good: Good, part: Part, true: bool = True) -> bytes:
    return good.with_parts([part if one.name == part.name else one for one in good.parts], true)


def doubled(good: Good) -> Iterator[Case]:
    for part in good.parts:
        yield f"{part.name} twice", partial(good.with_parts, [part, *good.parts])
        yield f"another {part.name}", partial(good.with_parts, [*good.parts, replace(part, data=b"{}")], true=False)


def digests(good: Good) -> Iterator[Case]:
    for part in good.parts:
        flipped = bytes([part.data[0] ^ 1]) + part.data[1:] if part.data else b"x"
        yield f"a bit of {part.name}", partial(_changed, good, replace(part, data=flipped), true=False)
        yield f"{part.name} is longer", partial(_changed, good, replace(part, data=part.data + b" "), true=False)
    for index, part in enumerate(good.parts):
        yield f"SHA-256 of {part.name}", partial(_told, good, index, sha256="0" * 64)
        yield f"bytes of {part.name}", partial(_told, good, index, bytes=len(part.data) + 1)


def _told(good: Good, index: int, **changed: Any) -> bytes:
    members = manifest_of(good.path)["members"]
    members[index] |= changed
    return good.with_manifest(members=members)


def absent(good: Good) -> Iterator[Case]:
    for part in good.parts:
        rest = [one for one in good.parts if one.name != part.name]
        yield f"no {part.name}, which is told", partial(good.with_parts, rest, true=False)
        if not part.name.endswith((".log", ".jsonl")):
            yield f"no {part.name}", partial(good.with_parts, rest)


def ends(good: Good) -> Iterator[Case]:
    data = good.path.read_bytes()
    for count in range(1, 40):
        yield f"the first {count} of 40 parts", partial(bytes, data[: len(data) * count // 40])
    yield "something before it", lambda: b"#!/bin/sh\n" + data
    yield "something after it", lambda: data + b"x" * 50
    yield "twice", lambda: data + data
    yield "a bit of a checkpoint", lambda: data.replace(b"data.pkl", b"data.pkm", 1)


def bombs(good: Good) -> Iterator[Case]:
    for part in good.parts:
        squeezed = replace(part, compression=zipfile.ZIP_DEFLATED)
        yield f"{part.name} is compressed", partial(_changed, good, squeezed)
    log = f"{good.first}/train.log"
    zeros = Part(log, bytes(30 << 20), compression=zipfile.ZIP_DEFLATED)
    yield "30 MB of zeros in 30 KB", lambda: _changed(good, zeros)
    yield "a manifest of 1 MB", lambda: archive(good.parts, b" " * (1 << 20))
    yield "a manifest of nothing but lists", lambda: archive(good.parts, b"[" * 5000)
    yield "a manifest of empty members", lambda: good.with_manifest(members=[{}] * 1500)
    yield "a record of 2 MB", lambda: remade(good.path, {f"{good.first}/labels.json": b" " * (2 << 20)})
    yield "ten records of reasons", lambda: _reasons(good, 10)
    yield "a record of nothing but errors", lambda: good.edited("labels.json", _set("tags", to=[1] * 100_000))
    yield "60,000 members", partial(_many, 60_000)
    yield "bzip2", lambda: _changed(good, Part(log, b"x", compression=zipfile.ZIP_BZIP2))


def _reasons(good: Good, count: int) -> bytes:
    """Of a megabyte each, which would take sixty once it is read."""
    record, parts = json.loads(members_of(good.path)[f"{good.first}/run.json"]), list[Part]()
    ids = [f"20260101-000000-{number:03d}-0000" for number in range(count)]
    reasons = [{"id": ""}] * 80_000
    for one in ids:
        record |= {
            "id": one,
            "resumption": {"parent_name": "x", "changes": {}, "verdict": "exact", "reasons": reasons},
        }
        parts.append(Part(f"{one}/run.json", json.dumps(record).encode()))
        for name in ("labels.json", "status.json"):
            parts.append(Part(f"{one}/{name}", members_of(good.path)[f"{good.first}/{name}"]))
    return archive(parts, {**manifest_of(good.path), "runs": ids, "members": described(parts)})


def _many(count: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(count):
            file.writestr(zipfile.ZipInfo(f"{number}"), b"")
    return buffer.getvalue()


def manifests(good: Good) -> Iterator[Case]:
    yield "no manifest", lambda: archive(good.parts, b"")
    yield "a manifest that is a list", lambda: archive(good.parts, b"[]")
    members = manifest_of(good.path)["members"]
    wrong: dict[str, tuple[Any, ...]] = {
        "format": ("other", None, 1),
        "version": (0, 2, "1", None),
        "created": ("yesterday", "2026-01-01T00:00:00", None),
        "runs": ((), [good.first], [good.first, good.first, good.second], [good.second, good.first], ["../evil"], None),
        "gone": (["../evil"], [1], "x", [good.first]),
        "members": (members[::-1], members[1:], [*members, members[0]], {}, None),
        "more": (1,),
    }
    for key, values in wrong.items():
        for number, value in enumerate(values):
            yield f"{key} of kind {number}", partial(good.with_manifest, **{key: value})
    stranger = [good.first, good.second, "20260101-000000-000-0000"]
    yield "a run without files", partial(good.with_manifest, runs=stranger)
    yield "the manifest first", lambda: _manifest_first(good)


def _manifest_first(good: Good) -> bytes:
    manifest = Part(MANIFEST, json.dumps(manifest_of(good.path)).encode())
    return archive([manifest, *good.parts], manifest_of(good.path)).replace(b"manifest.json", b"manifest.jso_", 1)


def identities(good: Good) -> Iterator[Case]:
    stranger = "20260101-000000-000-0000"
    yield "another's id", lambda: good.edited("run.json", _set("id", to=good.second))
    for name in ("../evil", "/etc", "", stranger, "20260101-000000-000-000", "２０２６0101-000000-000-0000"):
        yield f"id {name!r}", partial(good.edited, "run.json", _set("id", to=name))
        yield f"parent {name!r}", partial(good.edited, "run.json", _set("parent", to={"run": name, "epoch": 0}))
    for name in ("../evil", "/etc", "２０２６0101-000000-000-0000", good.first):
        yield f"twin of {name!r}", partial(good.edited, "run.json", _set("twin_of", to=name))
    yield "its own parent", lambda: good.edited("run.json", _set("parent", to={"run": good.first, "epoch": 0}))
    to_second = {"run": good.second, "epoch": 0}
    yield "its child's child", lambda: good.edited("run.json", _set("parent", to=to_second))
    yield "its child's child, which is gone", lambda: _circle(good)


def _circle(good: Good) -> bytes:
    record = json.loads(members_of(good.path)[f"{good.first}/run.json"])
    record["parent"] = {"run": good.second, "epoch": 0}
    changed = {f"{good.first}/run.json": json.dumps(record).encode(), f"{good.first}/metrics.jsonl": b""}
    return remade(good.path, changed, gone=[good.second])


def records(good: Good) -> Iterator[Case]:
    for name in ("run.json", "labels.json", "status.json", "model_save/0.json"):
        for content in (b"", b"{", b"[]", b"null", b"[" * 3000, b'{"a": 1}', b"\xff\xfe", b"\x80\x04."):
            yield f"{name} is {content[:12]!r}", partial(remade, good.path, {f"{good.first}/{name}": content})
        yield f"{name} with another key", partial(good.edited, name, _set("more", to=1))
    for number in _NUMBERS:
        for keys in (("config", "epochs"), ("config", "seed"), ("environment", "threads")):
            yield f"{keys} {number!r}", partial(good.edited, "run.json", _set(*keys, to=number))
        for key in ("epoch", "heartbeat", "queued_at", "continued"):
            yield f"{key} {number!r}", partial(good.edited, "status.json", _set(key, to=number))
        yield f"epoch of info {number!r}", partial(good.edited, "model_save/0.json", _set("epoch", to=number))
    for state in ("queued", "running", "stopping", "lost", "unknown", None):
        yield f"state {state}", partial(good.edited, "status.json", _set("state", to=state))
    process = {"host": "x", "boot": "x", "pid": 1, "started": 1.0}
    job = {"launcher": "slurm", "id": "1", "user": "root", "submitted": 1.0}
    yield "a process", lambda: good.edited("status.json", _set("process", to=process))
    yield "a job", lambda: good.edited("status.json", _set("job", to=job))
    yield "a naive time", lambda: good.edited("run.json", _set("created", to="2026-01-01T00:00:00"))
    yield "a time long ago", lambda: good.edited("run.json", _set("created", to="0001-01-01T00:00:00Z"))
    yield "an info of other bytes", lambda: good.edited("model_save/0.json", _set("bytes", to=1))
    yield "an info of another file", lambda: good.edited("model_save/0.json", _set("sha256", to="0" * 64))
    yield (
        "weights that say they are a model",
        lambda: good.edited("model_weights.pth.json", _set("format", to="model")),
    )


def texts(good: Good) -> Iterator[Case]:
    """What lists, forms and cards would show, and what no part of this app writes there."""
    for name in ("x\n" * 400_000, "x" * 81, "two\nlines", "\u202eleft", "a\x07bell"):
        yield f"name {name[:12]!r}", partial(good.edited, "labels.json", _set("name", to=name))
        tag = name if len(name) > 1000 or not name.isprintable() else name * 20
        yield f"tag {name[:12]!r}", partial(good.edited, "labels.json", _set("tags", to=[tag]))
    place = {"group": "0123abcd", "index": 0, "seeds": 3}
    for wrong in ({"index": -5}, {"index": 3}, {"seeds": 10**9}, {"group": "g\n"}, {"group": "g" * 2000}):
        yield f"seeds {wrong}"[:40], partial(good.edited, "run.json", _set("repeat", to={**place, **wrong}))
    yield "imported from nowhere", partial(good.edited, "status.json", _set("state", to="imported"))
    resumption: dict[str, Any] = {"parent_name": "p", "changes": {}, "verdict": "exact", "reasons": []}
    changes = {f"{number}": {"before": 0, "after": 1} for number in range(300)}
    much: tuple[dict[str, Any], ...]
    much = ({"reasons": [{"id": ""}] * 1000}, {"changes": changes}, {"parent_name": "p" * 2000})
    for more in much:
        yield f"resumption {more}"[:40], partial(good.edited, "run.json", _set("resumption", to={**resumption, **more}))
    added = BUILT_IN["synthetic"].model_dump(mode="json") | {"name": "added"}
    for said in ({"label": "a\nb"}, {"source": "a\x1b[31m"}, {"classes": ["a", "b\nc"]}, {"train": 10**12}):
        yield f"dataset {said}", partial(good.edited, "run.json", _described({**added, **said}))
    yield (
        "another dataset of a name of ours",
        partial(good.edited, "run.json", _set("described", to={**added, "name": "synthetic"})),
    )


def _described(dataset: Mapping[str, Any]) -> Callable[[dict[str, Any]], None]:
    def edit(record: dict[str, Any]) -> None:
        record["config"] |= {"dataset": dataset["name"], "train_images": 100}
        record["described"] = dataset

    return edit


def rows(good: Good) -> Iterator[Case]:
    batch = {"kind": "batch", "epoch": 0, "batch": 0, "losses": [1.0], "images_per_second": 1.0, "time": 0.0}
    epoch = {"kind": "epoch", "epoch": 0, "loss": 1.0, "accuracy": 1.0, "train_loss": 1.0, "seconds": 1.0}
    epoch |= {"samples_per_second": 1.0}
    wrong: dict[str, tuple[Any, ...]] = {
        "epoch": ("0", -1, 99, 10**400, None, 0.5),
        "losses": ("x", [[]], [None], 1),
        "batch": ("x", -1, 2**70),
        "time": (1e300, -1.0, float("nan")),
        "images_per_second": (float("nan"), -1.0),
        "seconds": (float("inf"), -1.0),
    }
    wrong |= {"loss": ([], "x", {}), "accuracy": ("x", []), "kind": ([], 1, None)}
    for row in (batch, epoch):
        for key, values in wrong.items():
            for value in values if key in row else ():
                yield f"{key} {value!r} of {row['kind']}", partial(_with_rows, good, {**row, key: value})
    yield "an epoch twice", lambda: _with_rows(good, epoch, epoch)
    yield "a line of 2 MB", lambda: _with_rows(good, {**batch, "losses": [1.0] * 500_000})
    yield "a list", lambda: _with_rows(good, [])
    yield "a number", lambda: _with_rows(good, 1)
    yield "more losses than batches", lambda: _with_rows(good, {**batch, "losses": [1.0] * 500})
    for name, text in split_rows(epoch):
        yield name, partial(_with_metrics, good, text)


def split_rows(epoch: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Lines that are no rows by themselves, and are as many rows as lines once commas stand between them."""
    evil = json.dumps({**epoch, "loss": "EVIL", "epoch": 10**30}).encode()
    head, tail = evil.split(b", ", 1)
    yield "two rows in a line, and one in two", evil + b"," + evil + b"\n" + head + b"\n" + tail + b"\n"
    yield "a row in two lines that are framed", evil + b"," + evil + b'\n{"a": [{}\n{}], ' + evil[1:] + b"\n"
    yield "no JSON", b"evil\n" + json.dumps(epoch).encode() + b"\n"
    yield "an empty line", b"\n" + json.dumps(epoch).encode() + b"\n"


def _with_rows(good: Good, *rows: Any) -> bytes:
    return _with_metrics(good, b"".join(json.dumps(row).encode() + b"\n" for row in rows))


def _with_metrics(good: Good, text: bytes) -> bytes:
    return remade(good.path, {f"{good.first}/metrics.jsonl": text})


def models(good: Good) -> Iterator[Case]:
    """Files that are refused by themselves, each as a checkpoint with a record that is true of it."""
    cases = (case for room in (gadgets, archives) for family in room.FAMILIES for case in family())
    for name, make in islice(cases, 0, None, 8):
        yield name, partial(_as_checkpoint, good, make)


def _as_checkpoint(good: Good, make: Callable[[], bytes]) -> bytes:
    data = make()
    (told,) = described([("x", data)])
    info = json.loads(members_of(good.path)[f"{good.first}/model_save/0.json"])
    info |= {"sha256": told["sha256"], "bytes": told["bytes"]}
    changed: Mapping[str, bytes] = {
        f"{good.first}/model_save/0": data,
        f"{good.first}/model_save/0.json": json.dumps(info).encode(),
    }
    return remade(good.path, changed)


def layers(good: Good) -> Iterator[Case]:
    """Whole models of this app, whose layers say more or something else than what ``torch.save`` writes of them."""
    wrong: dict[str, Callable[[Any], object]] = {
        "a number of another size": lambda model: setattr(model.linear_relu_stack[0], "in_features", 5),
        "a method of its own": lambda model: setattr(model, "forward", "evil"),
        "a hook": lambda model: model._forward_hooks.update({0: "evil"}),
    }
    for name, change in wrong.items():
        yield name, partial(_as_checkpoint, good, partial(changed_model, change))


def changed_model(change: Callable[[Any], object] = lambda model: None) -> bytes:
    model, buffer = build_model("mlp", 1), io.BytesIO()
    change(model)
    torch.save(model, buffer)
    return buffer.getvalue()


_NOT_OURS = "its zip archive is not one that `bundle` has written|is damaged or not of the kind|no bundle of runs"
_RUN = "its (parent|end)|goes back to what is no other run|is that of another run|resumed from .* not before it"
FAMILIES: dict[Callable[[Good], Iterator[Case]], str] = {
    paths: rf"which belongs to no run in it|lacks the file that belongs to it|Name should have at most 100|{_NOT_OURS}",
    links: "is a symbolic link",
    doubled: "two members of the same name",
    digests: "not of the size that its manifest says|its SHA-256 differs|not the file that its record describes",
    absent: "not those that its manifest names|lacks the file that belongs to it|of run .* is not in it",
    ends: rf"other data before its zip archive|is cut off|checksum of its member|{_NOT_OURS}",
    bombs: rf"more than runs have to say|at most .* are allowed|more than any bundle needs|compressed|is missing|"
    rf"it is not what this app writes|{_NOT_OURS}",
    manifests: rf"manifest|belongs to no run in it|not before it|is not in it|{_NOT_OURS}",
    identities: rf"{_RUN}|calls a run gone that is in it",
    records: "record|status|under way|can't be used|not the file|not of the kind|the loss or the accuracy",
    texts: "the name|a tag|the place|the dataset|more than a run has to say|claims to be imported|at most .* allowed",
    rows: "a row that no run writes|hold an epoch twice",
    models: "is no model that can be read",
    layers: "is no model that can be read",
}
"""Each with the words that one of its refusals has."""
