"""``python -m fashion_core``: the command line, and the entry of every worker.

Here, once for all commands, the process is made to work with what it was started with: streams that are closed or
whose encoding lacks a character, a reader that leaves early, a signal that ends it.
"""

import io
import os
import signal
import sys
from pathlib import Path
from types import FrameType

_ENDING = ("SIGTERM", "SIGHUP")  # by name: Windows has only the first


def main() -> int:
    """Run a command and return its exit status."""
    make_streams_usable()
    try:
        status = run()
    except SystemExit as leaving:  # of argparse, or after a signal
        status = leaving.code if isinstance(leaving.code, int) else 0
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        status = 1
    return status if output_is_written() else status or 1


def run() -> int:
    """A worker imports only what it needs, because someone is waiting for its first row."""
    if sys.argv[1:2] == ["worker"] and len(sys.argv) == 3:
        from fashion_core.training import worker

        return worker.main(sys.argv[2])
    # Threads of numpy's, which nothing here needs and which may be refused; torch, also in a worker, may need its own.
    is_added = "OPENBLAS_NUM_THREADS" not in os.environ
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from fashion_core.cli import main as cli

    if is_added:
        del os.environ["OPENBLAS_NUM_THREADS"]
    for name in _ENDING:
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is signal.SIG_DFL:  # under `nohup` SIGHUP is ignored
            signal.signal(number, leave)
    return cli.main()


def make_streams_usable() -> None:
    """Open what is closed on nothing, so that no file takes its number; replace what an encoding lacks by its code."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def leave(number: int, _frame: FrameType | None) -> None:
    """End with the status that shells give a command ended by this signal, once all blocks have been left."""
    raise SystemExit(128 + number)


def output_is_written() -> bool:
    """Write out what was printed, which may fail only now; then say why, unless the reader has left."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try again as it exits
        if not isinstance(error, BrokenPipeError):
            from fashion_core.files import disk_error

            print(f"fashion_core: {disk_error(error, Path('standard output'))}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
