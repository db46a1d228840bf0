"""``python -m fashion_core``: the command line, and the entry of every worker."""

import sys

from fashion_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
