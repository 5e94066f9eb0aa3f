"""``python -m jobsite.sandbox``."""

import sys

from .server import main

sys.exit(main())
