"""Pickles that call what they should not: what is called, with which instructions, and where in a file."""

import io
import pickletools
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import pairwise

from tests.hostile.building import (
    Case,
    archive,
    call,
    get,
    holding_place,
    listed,
    mapping,
    members_of,
    mlp,
    named,
    put,
    real_file,
    saved,
    sequence,
    tensor,
    text,
    torch_file,
    whole,
)

COMMAND = "touch /tmp/fashion-core-was-here"
_CODE = f"__import__('os').system('{COMMAND}')"
_SCRIPT = "/tmp/fashion-core-script.py"
_URL = "http://127.0.0.1:9/fashion-core"

_CALLED: Mapping[tuple[str, ...], str] = {
    (_CODE,): """
        builtins:eval builtins:exec __builtin__:eval runpy:_run_code timeit:timeit timeit:main profile:run
        cProfile:run pdb:run bdb:Bdb.run doctest:debug_script trace:Trace.run types:FunctionType
        types:CodeType marshal:loads pickle:loads _pickle:loads pickle:Unpickler dill:loads
        cloudpickle.cloudpickle:_make_function pandas:eval numpy.testing._private.utils:runstring
        numpy.f2py.crackfortran:myeval torch.fx.graph_module:_forward_from_src
        torch._inductor.codecache:PyCodeCache torch._dynamo.guards:GuardBuilder.get
    """,
    (_SCRIPT,): """
        os:remove __builtin__:execfile zipimport:zipimporter runpy:run_path shelve:open codecs:open
        logging.config:fileConfig sqlite3:connect joblib:load pandas:read_pickle numpy:load numpy:loadtxt
        numpy:memmap torch:load torch.serialization:load torch.jit:load torch.package:PackageImporter
        torch.ops:load_library torch.classes:load_library fashion_core.formats.load:load
        streamlit.web.bootstrap:run
    """,
    ("x",): """
        builtins:type copyreg:_reconstructor functools:reduce sys:settrace numpy.core.multiarray:_reconstruct
        torch.storage:_load_from_bytes torch.utils.cpp_extension:load_inline
        torch.fx.graph_module:reduce_graph_module torch.distributed.rpc:rpc_sync
        torch.multiprocessing.spawn:spawn torch.nn.modules.module:register_module_forward_hook
        torch.nn.utils.parametrize:type_before_parametrizations torch.utils._config_module:load_config
        torch.nn:Module.load_state_dict torch:set_default_device fashion_core.runs.queue:stop
        __main__:NeuralNetwork.forward
    """,
    (COMMAND,): """
        os:system posix:system nt:system os:popen subprocess:Popen subprocess:call subprocess:check_output
        subprocess:getoutput commands:getoutput platform:popen pty:spawn functools:partial
        asyncio:create_subprocess_shell multiprocessing.util:spawnv_passfds atexit:register
        torch.utils.collect_env:run
    """,
    (): """
        builtins:breakpoint builtins:globals code:InteractiveInterpreter socket:socket threading:Thread
        tempfile:mkdtemp torch.cuda:init
    """,
    (_URL,): """
        webbrowser:open urllib.request:urlopen requests:get torch.hub:load_state_dict_from_url
        torch.utils.model_zoo:load_url torchvision.datasets.utils:download_url
    """,
    ("127.0.0.1",): "http.client:HTTPSConnection socket:create_connection ftplib:FTP smtplib:SMTP",
    ("os",): "builtins:__import__ importlib:import_module importlib._bootstrap:_load_unlocked",
    ("os", "system"): "builtins:getattr copyreg:add_extension",
    ("x", _SCRIPT): "importlib.machinery:SourceFileLoader imp:load_source",
    ("system",): "operator:attrgetter operator:itemgetter",
    (_SCRIPT, "x"): "pathlib:Path.write_text distutils.file_util:write_file",
    ("f8",): "numpy.core.multiarray:scalar numpy._core.multiarray:scalar",
    ("/bin/sh", "sh", "-c", COMMAND): "os:execl",
    ("LD_PRELOAD", _SCRIPT): "os:putenv",
    (_CODE, "name", "exec"): "builtins:compile",
    ("os", "system", "x"): "builtins:setattr",
    (_SCRIPT, "w"): "builtins:open",
    ("system", COMMAND): "operator:methodcaller",
    (_CODE, "rot13"): "codecs:decode",
    (_CODE, "latin1"): "_codecs:encode",
    ("9",): "signal:raise_signal",
    ("1",): "sys:exit",
    ("libc.so.6",): "ctypes:CDLL",
    ("c",): "ctypes.util:find_library",
    ("/tmp/fashion-core",): "shutil:rmtree",
    (_SCRIPT, "/tmp/x"): "shutil:move",
    ("x", COMMAND): "pydoc:pipepager",
    ("install x",): "pip:main",
    ("/tmp/x",): "venv:create",
    ("a/b", "c"): "torch.hub:load",
    (_URL, _SCRIPT): "torch.hub:download_url_to_file",
    ("def f(): pass",): "torch.jit._script:CompilationUnit",
}
"""What would be called, as module and name, by the texts that it would be called with."""
GADGETS: Mapping[str, tuple[str, ...]] = {
    called.replace(":", " "): texts for texts, names in _CALLED.items() for called in names.split()
}

Style = Callable[[str, str, tuple[str, ...]], bytes]
"""How a call is written in a pickle."""


def _arguments(texts: tuple[str, ...]) -> bytes:
    return sequence(*map(text, texts))


def by_global(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return named(module, name) + _arguments(texts) + b"R"


def _stack_global(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def by_stack_global(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return _stack_global(module, name) + _arguments(texts) + b"R"


def by_short_texts(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    short = (b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return b"".join(short) + b"\x93" + _arguments(texts) + b"R"


def by_texts_of_protocol_0(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    lines = b"".join(b"V" + part.encode("raw-unicode-escape") + b"\n" for part in texts)
    return named(module, name) + b"(" + lines + b"tR"


def by_inst(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return b"(" + b"".join(map(text, texts)) + f"i{module}\n{name}\n".encode()


def by_obj(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return b"(" + named(module, name) + b"".join(map(text, texts)) + b"o"


def by_newobj(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return named(module, name) + _arguments(texts) + b"\x81"


def by_newobj_ex(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return named(module, name) + _arguments(texts) + b"}\x92"


def by_build(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    """A state whose ``__setstate__`` is the function."""
    planted = mapping({"__setstate__": named(module, name)})
    return named("torch.nn.modules.linear", "Linear") + b")\x81" + planted + b"b" + listed(*map(text, texts)) + b"b"


def by_memo(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    """The two texts are kept first and put together later."""
    kept = text(name) + put(901) + text(module) + put(902) + b"\x86" + put(903)
    return listed(kept, get(902) + get(901) + b"\x93" + _arguments(texts) + b"R")


def by_memo_of_protocol_0(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return listed(named(module, name) + b"p77\n", b"g77\n" + _arguments(texts) + b"R")


def by_extension(size: str, module: str, name: str, texts: tuple[str, ...]) -> bytes:
    code = {"1": b"\x82\x07", "2": b"\x83\x07\x00", "4": b"\x84\x07\x00\x00\x00"}[size]
    return code + _arguments(texts) + b"R"


def by_pop(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    """Called, then thrown away."""
    return by_global(module, name, texts) + b"0" + text("harmless")


def by_pop_mark(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return b"(" + by_global(module, name, texts) + b"1" + text("harmless")


def by_dup(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return named(module, name) + b"2" + _arguments(texts) + b"R\x86"


def as_an_argument(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    """Inside the arguments of a call that is allowed."""
    return call(named("collections", "OrderedDict"), listed(b"]" + by_global(module, name, texts) + b"a"))


def as_a_factory(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return call(named("collections", "defaultdict"), named(module, name))


def as_a_factory_called(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return call(named("collections", "defaultdict"), by_global(module, name, texts))


def as_a_key(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return b"}" + by_global(module, name, texts) + b"Ns"


def as_a_value_alone(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    """Only named, not called."""
    return named(module, name)


def as_metadata(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    """In the attribute that an OrderedDict of torch may have."""
    return call(named("collections", "OrderedDict")) + mapping({"_metadata": by_global(module, name, texts)}) + b"b"


def as_persistent_id(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return sequence(text("storage"), by_global(module, name, texts), text("5"), text("cpu"), b"K\x0a") + b"Q"


def as_persistent_module(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    """The form in which torch kept the source of a class before 1.6."""
    return sequence(text("module"), named(module, name), text("x.py"), text("")) + b"Q" + _arguments(texts) + b"R"


def as_a_hook_of_a_tensor(module: str, name: str, texts: tuple[str, ...]) -> bytes:
    parts = (tensor(), b"\x88", mapping({"0": named(module, name)}))
    return call(named("torch._utils", "_rebuild_parameter"), *parts)


STYLES: Mapping[str, Style] = {
    "GLOBAL": by_global,
    "STACK_GLOBAL": by_stack_global,
    "SHORT_BINUNICODE": by_short_texts,
    "UNICODE": by_texts_of_protocol_0,
    "INST": by_inst,
    "OBJ": by_obj,
    "NEWOBJ": by_newobj,
    "NEWOBJ_EX": by_newobj_ex,
    "BUILD": by_build,
    "memo": by_memo,
    "memo of protocol 0": by_memo_of_protocol_0,
    "EXT1": partial(by_extension, "1"),
    "EXT2": partial(by_extension, "2"),
    "EXT4": partial(by_extension, "4"),
    "POP": by_pop,
    "POP_MARK": by_pop_mark,
    "DUP": by_dup,
    "an argument": as_an_argument,
    "a factory": as_a_factory,
    "a factory called": as_a_factory_called,
    "a key": as_a_key,
    "a value alone": as_a_value_alone,
    "metadata": as_metadata,
    "a persistent id": as_persistent_id,
    "a persistent module": as_persistent_module,
    "a hook of a tensor": as_a_hook_of_a_tensor,
}
_KINDS = ("checkpoint", "weights", "model", "forward", "legacy")


def everything_that_can_be_called() -> Iterator[Case]:
    """Each gadget once, in turn in each kind of file and as each sort of call."""
    styles = ("GLOBAL", "STACK_GLOBAL", "NEWOBJ", "memo", "an argument")
    for index, (gadget, texts) in enumerate(GADGETS.items()):
        module, _, name = gadget.partition(" ")
        style, kind = styles[index % len(styles)], _KINDS[index // 2 % len(_KINDS)]
        yield f"{module}.{name} by {style} in {kind}", partial(_real, kind, style, module, name, texts)


def _real(kind: str, style: str, module: str, name: str, texts: tuple[str, ...]) -> bytes:
    return real_file(kind, STYLES[style](module, name, texts))


def every_way_to_call() -> Iterator[Case]:
    """``os.system`` by each sort of instruction, in a real checkpoint and in a whole model."""
    for style in STYLES:
        for kind in ("checkpoint", "model"):
            yield f"os.system by {style} in {kind}", partial(_real, kind, style, "os", "system", (COMMAND,))


def in_every_container() -> Iterator[Case]:
    """``os.system`` in files that hold nothing else, and where nobody looks."""
    gadget = by_global("os", "system", (COMMAND,))
    yield "bare pickle of protocol 0", lambda: gadget + b"."
    yield "bare pickle of protocol 1", lambda: b"\x80\x01" + gadget + b"."
    for protocol in (2, 4, 5):
        yield f"bare pickle of protocol {protocol}", partial(whole, gadget, protocol)
    yield "bare pickle with a text of Python 2", lambda: b"cos\nsystem\n(S'x'\ntR."
    yield "alone in a zip", lambda: torch_file(whole(gadget), {})
    yield "alone in a zip of protocol 4", lambda: torch_file(whole(gadget, 4), {})
    yield "left on the stack before the weights", lambda: _in_pickle(lambda pickle: pickle[:2] + gadget + pickle[2:])
    yield (
        "left under a mark before the weights",
        lambda: _in_pickle(lambda pickle: pickle[:2] + gadget + b"(" + pickle[2:]),
    )
    yield "numbers left under a mark", lambda: _in_pickle(lambda pickle: pickle[:2] + b"K\x01(" + pickle[2:])
    yield "numbers left on the stack", lambda: _in_pickle(lambda pickle: pickle[:2] + b"K\x01" + pickle[2:])
    yield "second pickle after the STOP", lambda: _in_pickle(lambda pickle: pickle + whole(gadget))
    yield "second pickle before the weights", lambda: _in_pickle(lambda pickle: whole(gadget) + pickle)
    yield "compressed pickle", lambda: _in_pickle(zlib.compress)
    yield "tar of torch 0.1", _tar
    for name in ("extra.pkl", "data/evil.pkl", "constants.pkl", "code/__torch__.py", "data.pkl.bak", ".data/x.pkl"):
        yield f"pickle under the name {name}", partial(_beside, {f"archive/{name}": whole(gadget)})
    yield "pickle where numbers belong", partial(_beside, {"archive/data/0": whole(gadget)})
    for place in range(5):
        yield f"in pickle {place + 1} of torch before 1.6", partial(_legacy, place, gadget)


def _in_pickle(change: Callable[[bytes], bytes]) -> bytes:
    return _beside({"archive/data.pkl": change(members_of(holding_place("checkpoint"))["archive/data.pkl"])})


def _beside(changed: Mapping[str, bytes]) -> bytes:
    members = members_of(holding_place("checkpoint"))
    del members["archive/.data/serialization_id"]
    return archive({**members, **changed})


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = whole(by_global("os", "system", (COMMAND,)))
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@cache
def _parts_of_legacy() -> tuple[list[bytes], bytes]:
    data = saved(mlp().state_dict(), _use_new_zipfile_serialization=False)
    stream, ends = io.BytesIO(data), [0]
    for _ in range(5):
        list(pickletools.genops(stream))
        ends.append(stream.tell())
    return [data[start:end] for start, end in pairwise(ends)], data[ends[-1] :]


def legacy_pickles() -> list[bytes]:
    """The five pickles in front of the numbers of real weights."""
    return list(_parts_of_legacy()[0])


def legacy_numbers() -> bytes:
    return _parts_of_legacy()[1]


def legacy_file(pickles: list[bytes]) -> bytes:
    return b"".join(pickles) + legacy_numbers()


def _legacy(place: int, gadget: bytes) -> bytes:
    pickles = legacy_pickles()
    pickles[place] = pickles[place][:2] + gadget + (b"0" if place % 2 else b"") + pickles[place][2:]
    return legacy_file(pickles)


FAMILIES = (everything_that_can_be_called, every_way_to_call, in_every_container)
