"""``python -m ntk_array`` is the command ``ntk-array``."""

import sys

from .cli import main

sys.exit(main())
