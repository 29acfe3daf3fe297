"""`python -m reconciler.cli`: the command without its script."""

import sys

from reconciler.cli import main

sys.exit(main())
