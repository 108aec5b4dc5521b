"""``python -m resunet`` is the ``resunet`` command."""

import sys

from resunet.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
