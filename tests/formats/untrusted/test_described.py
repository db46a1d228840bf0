"""Whatever torch reads is described; using it is refused in a sentence that names the tensor, the key or the class."""

import io
import struct
import time
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fashion_core.errors import RefusedFileError
from fashion_core.formats.inspect import Inspection, inspect
from fashion_core.formats.load import load
from fashion_core.formats.untrusted.zip_archive import Archive
from tests.hostile.building import BIAS, archive, checkpoint, members_of, mlp, real_file, saved, torch_file
from tests.hostile.opcodes import call, listed, mapping, named, number, sequence, tensor, text, whole
from tests.support.described import BYTES, SECONDS, Part, run, tensors


def described(tmp_path: Path, data: bytes) -> Inspection:
    (tmp_path / "file").write_bytes(data)
    return inspect(tmp_path / "file")


def refusal(tmp_path: Path, data: bytes) -> str:
    """Why it can't be used; inspecting it says the same."""
    found = described(tmp_path, data)
    with pytest.raises(RefusedFileError) as refused:
        load(tmp_path / "file")
    assert found.refusal == str(refused.value)
    return str(refused.value)


def walked(content: Any, prefix: str = "") -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Each tensor of what torch read, as the table should show it."""
    if isinstance(content, Tensor):
        yield prefix, str(content.dtype).removeprefix("torch."), tuple(content.shape)
    elif isinstance(content, dict | list | tuple):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from walked(value, f"{prefix}.{key}" if prefix else str(key))


def test_every_kind_of_tensor_is_in_the_table_as_torch_reads_it(tmp_path: Path) -> None:
    data = saved({"state": tensors(), "others": [torch.ones(2), (torch.ones(3, dtype=torch.complex128),)]})
    rows = described(tmp_path, data).tensors
    theirs = torch.load(io.BytesIO(data), weights_only=True)
    assert [(row.name, row.dtype, row.shape) for row in rows] == list(walked(theirs))


def test_bytes_are_those_that_are_stored(tmp_path: Path) -> None:
    rows = {row.name: row.bytes for row in described(tmp_path, saved(tensors())).tensors}
    assert (rows["float8_e5m2"], rows["uint64"], rows["meta"], rows["view"]) == (16, 16, 0, 24)
    assert rows["sparse"] == 3 * 4 + 6 * 8, "three values, and the row and column of each"


def test_numbers_that_numpy_lacks_are_not_invented(tmp_path: Path) -> None:
    content = {
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
        "wide": torch.tensor([1, 60_000], dtype=torch.uint16),
        "complex": torch.tensor([1j, complex("nan")]),
        "quantized": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8),
    }
    rows = {row.name: row for row in described(tmp_path, saved(content)).tensors}
    assert [rows[name].nan for name in content] == [None, 0, 1, None]
    assert [rows[name].mean for name in content] == [None, 30_000.5, None, None]


@pytest.mark.parametrize("dtype", ["float8_e5m2", "uint32", "complex64", "complex32", "float8_e8m0fnu"])
def test_a_weight_of_a_dtype_that_is_not_used_here_is_named(tmp_path: Path, dtype: str) -> None:
    weights = {**mlp().state_dict(), BIAS: torch.ones(10).to(getattr(torch, dtype))}
    said = refusal(tmp_path, saved({"model_state_dict": weights}))
    assert f"model_state_dict.{BIAS} is {dtype}, which can't become float32" in said


@pytest.mark.parametrize("name", ["sparse", "meta", "quantized", "expanded", "parameter"])
def test_a_weight_that_is_no_plain_tensor_is_named(tmp_path: Path, name: str) -> None:
    assert f"{BIAS} " in refusal(tmp_path, saved({**mlp().state_dict(), BIAS: tensors()[name]}))


SAFETENSORS = {"F4": (8, 4), "F6_E2M3": (4, 3), "F8_E8M0": (3, 3), "F8_E5M2": (3, 3), "C64": (2, 16), "U16": (2, 4)}


@pytest.mark.parametrize("dtype", SAFETENSORS)
def test_every_dtype_of_safetensors_is_described(tmp_path: Path, dtype: str) -> None:
    shape, size = SAFETENSORS[dtype]
    header = f'{{"scale":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[0,{size}]}}}}'.encode()
    data = struct.pack("<Q", len(header)) + header + bytes(size)
    (row,) = described(tmp_path, data).tensors
    assert (row.shape, row.bytes) == ((shape,), size)
    assert f"scale is {row.dtype}" in refusal(tmp_path, data)


def test_weights_that_share_numbers_have_a_row_each(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    state = {"encoder": layer.weight.data, "decoder": layer.weight.data, "first": layer.weight.data[0]}
    found = described(tmp_path, saved({"model": state, "ema": state}))
    assert [row.name for row in found.tensors] == [f"{key}.{name}" for key in ("model", "ema") for name in state]
    assert found.tree["ema"] == found.tree["model"]


KEYS: dict[str, Any] = {"(1, 2)": (1, 2), "None": None, "b'k'": b"k", "0.5": 0.5, "True": True, "k" * 40: "k" * 2000}


@pytest.mark.parametrize("shown", KEYS)
def test_a_key_that_is_no_short_text_or_number_is_shown_and_named(tmp_path: Path, shown: str) -> None:
    data = saved(checkpoint(note={KEYS[shown]: 1}))
    assert next(iter(described(tmp_path, data).tree["note"])).startswith(shown)
    assert f"its key {shown}" in refusal(tmp_path, data)


def test_keys_of_64_bits_are_kept_as_they_are(tmp_path: Path) -> None:
    keys = [140254331234000 + 72 * number for number in range(6)]
    (tmp_path / "file").write_bytes(saved({**checkpoint(), "ids": dict.fromkeys(keys, 0)}))
    assert list(inspect(tmp_path / "file").tree["ids"]) == [str(key) for key in keys]
    assert load(tmp_path / "file").model_name == "mlp"


def test_parts_that_hold_each_other_are_shown_once_and_their_class_is_named(tmp_path: Path) -> None:
    part = Part()
    part.parts["child"] = Part(part)  # type: ignore[assignment]
    found = described(tmp_path, saved({"state_dict": mlp().state_dict(), "settings": part}))
    assert len(found.tensors) == 6
    assert "again" in str(found.tree["settings"])
    assert "tests.support.described.Part" in refusal(tmp_path, (tmp_path / "file").read_bytes())


def test_a_list_in_itself_is_shown_once_and_refused(tmp_path: Path) -> None:
    inner: list[Any] = [torch.ones(2)]
    inner.append(inner)
    found = described(tmp_path, saved(checkpoint(note=inner)))
    assert found.tree["note"] == ["float32 (2,)", "… ((…) again)"]
    assert "refused: note contains itself" in refusal(tmp_path, (tmp_path / "file").read_bytes())


def test_what_a_file_would_have_called_is_text(tmp_path: Path) -> None:
    found = described(tmp_path, real_file("checkpoint", call(named("os", "system"), text("ls"))))
    assert found.tree["note"] == {"<os.system>": "ls"}
    assert found.refused == ("os.system",)


VALUES: dict[str, Any] = {
    "bytes": b"abc",
    "no bytes": b"",
    "a bytearray": bytearray(b"abc"),
    "a complex number": 1 - 1j,
    "a defaultdict": defaultdict(list, loss=[1.0]),
    "a set": {1, 2},
    "70,000 losses": [index / 7 for index in range(70_000)],
    "a long text": "x" * 2_000_000,
}


@pytest.mark.parametrize("name", VALUES)
def test_plain_values_beside_the_weights_are_fine(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(saved(checkpoint(beside=VALUES[name])))
    assert inspect(tmp_path / "file").refusal is None
    assert load(tmp_path / "file").model_name == "mlp"


@pytest.mark.parametrize("protocol", [1, 3, 4, 5])
def test_every_protocol_of_pickles_gives_the_same_weights(tmp_path: Path, protocol: int) -> None:
    weights = mlp().state_dict()
    (tmp_path / "file").write_bytes(
        saved({"state_dict": weights, "note": [b"x", {1}, 2**40]}, pickle_protocol=protocol)
    )
    found = load(tmp_path / "file").model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in weights.items())


def test_weights_of_python_2_are_read(tmp_path: Path) -> None:
    """It writes texts as bytes, and an OrderedDict with its items as lists of two."""
    bias = tensor().replace(text("storage"), b"U\x07storage").replace(text("cpu"), b"T\x03\0\0\0cpu")
    ordered = call(named("collections", "OrderedDict"), listed(listed(b"U\x04bias" + bias)))
    (row,) = described(tmp_path, torch_file(whole(mapping({"state_dict": ordered})))).tensors
    assert (row.name, row.dtype, row.shape) == ("state_dict.bias", "float32", (10,))


def test_a_text_of_python_2_that_is_no_utf_8_is_bytes(tmp_path: Path) -> None:
    found = described(tmp_path, real_file("checkpoint", b"U\x02\xff\xfe"))
    assert found.tree["note"] == r"b'\xff\xfe'"


def zipped(change: Callable[[zipfile.ZipFile], object], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Real weights in an archive that torch reads but does not write."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in parts().items():
            file.writestr(name, data)
        change(file)
    return buffer.getvalue()


def parts() -> dict[str, bytes]:
    """The members of a file of weights, as torch before 2.1 wrote them."""
    found = members_of(saved(mlp().state_dict()))
    del found["archive/.data/serialization_id"]
    return found


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "is compressed": lambda: zipped(lambda file: None, zipfile.ZIP_DEFLATED),
    "data after its zip archive": lambda: saved(mlp().state_dict()) + b"x" * 100,
    "archive/notes.txt": lambda: zipped(lambda file: file.writestr("archive/notes.txt", "x")),
    "archive/data/": lambda: zipped(lambda file: file.writestr("archive/data/", "")),
    "big-endian": lambda: archive({**parts(), "archive/byteorder": b"big"}),
}


@pytest.mark.parametrize("words", ARCHIVES)
def test_an_archive_as_others_write_it_is_described_and_not_used(tmp_path: Path, words: str) -> None:
    data = ARCHIVES[words]()
    assert len(torch.load(io.BytesIO(data), weights_only=True)) == 6
    found = described(tmp_path, data)
    assert [row.name for row in found.tensors] == list(mlp().state_dict())
    assert words.removeprefix("archive/") in refusal(tmp_path, data)
    if words in ("is compressed", "big-endian"):
        assert {row.mean for row in found.tensors} == {None}


@pytest.mark.parametrize("size", range(2**20 - 20, 2**20 + 300, 20))
def test_a_compressed_member_of_any_size_is_whole(size: int) -> None:
    buffer = io.BytesIO(archive({"a/data.pkl": bytes(size)}, zipfile.ZIP_DEFLATED))
    assert Archive(buffer).read("a/data.pkl", 2 * size) == bytes(size)


def test_an_archive_with_two_members_of_one_name_is_not_described(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped(lambda file: file.writestr("archive/data/1", bytes(2048)))
    with pytest.raises(RefusedFileError, match="two members of the same name"):
        described(tmp_path, data)


BOMBS: dict[str, Callable[[], bytes]] = {
    "numbers as keys whose hashes collide": lambda: (
        b"}(" + b"".join(number(key) + b"N" for key in colliding(40_000, 17)) + b"u"
    ),
    "places of the memo whose hashes collide": lambda: (
        b"N" + b"".join(b"p%d\n" % key for key in colliding(110_000, 19))
    ),
    "one text made bytes again and again": lambda: listed(
        text("x" * 900_000) + b"r\x09\0\0\0",
        (named("_codecs", "encode") + b"j\x09\0\0\0" + text("latin1") + b"\x86R") * 10_000,
    ),
    "pairs of Python 2 again and again": lambda: listed(
        listed(sequence(text("k"), b"N") * 20_000) + b"r\x09\0\0\0",
        (named("collections", "OrderedDict") + b"j\x09\0\0\0\x85R") * 10_000,
    ),
    "records": lambda: listed((named("os", "x") + b")\x81") * 70_000),
    "lists in lists": lambda: b"]" * 140_000 + b"a" * 139_999,
    "dicts as keys": lambda: b"}" + b"}Ns" * 90_000,
}


def colliding(count: int, bits: int) -> list[int]:
    """Half of a dict's places in the order in which Python goes through them, then numbers that start at the first."""
    mask, place, places = 2**bits - 1, 0, []
    for _ in range(count):
        places.append(place)
        place = (place * 5 + 1) & mask
    return [*places, *(2**40 * key for key in range(1, count))]


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_no_second(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(real_file("checkpoint", BOMBS[name]()))

    def seconds() -> float:
        began = time.process_time()
        with suppress(RefusedFileError):
            inspect(tmp_path / "file")
        return time.process_time() - began

    assert any(seconds() < SECONDS for _ in range(3))  # others on the machine may slow one down


@pytest.mark.parametrize(("count", "seed"), [(300, 3), pytest.param(2_500, 4, marks=pytest.mark.slow)])
def test_changed_files_are_described_or_refused_soon(tmp_path: Path, count: int, seed: int) -> None:
    """``python -m tests.support.described`` makes 100,000."""
    result = run(tmp_path, count, seed)
    assert {"described", "refused"} <= result.outcomes.keys()
    assert result.slowest[0] < SECONDS, result.slowest
    assert result.largest[0] < BYTES, result.largest


def test_whole_models_of_others_are_described(tmp_path: Path) -> None:
    model = nn.Sequential(OrderedDict(body=nn.Conv2d(1, 4, 3), norm=nn.BatchNorm2d(4)))
    found = described(tmp_path, saved(model))
    assert [row.name for row in found.tensors] == list(model.state_dict())
    assert found.model is None
