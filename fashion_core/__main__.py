"""``python -m fashion_core``: the command line, and the entry of every worker."""

import sys


def main() -> int:
    """Run a command. A worker imports only what it needs, because someone is waiting for its first row."""
    if sys.argv[1:2] == ["worker"] and len(sys.argv) == 3:
        from fashion_core.training import worker

        return worker.main(sys.argv[2])
    from fashion_core.cli import main as cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
