"""``python -m resunet`` is the ``resunet`` command."""

import sys

from resunet.cli import main

if __name__ == "__main__":
    sys.exit(main())
