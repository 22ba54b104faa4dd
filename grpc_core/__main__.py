"""`python -m grpc_core`."""

import sys

from grpc_core.cli import main

sys.exit(main())
