"""The application for other ASGI servers, `tests.doors.asgi_app:app`, with settings of the environment."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.app import create_app
from gateway.settings import Settings

app = create_app(Settings(descriptor_set=Path(os.environ["PROTOWAY_DESCRIPTOR_SET"])))
