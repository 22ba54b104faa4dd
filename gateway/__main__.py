"""`python -m gateway` is `protoway`."""

import sys

from gateway.cli import main

sys.exit(main())
