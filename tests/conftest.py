"""What all tests share: how Hypothesis draws its cases, and a Redis for those that want one."""

from __future__ import annotations

import os

from hypothesis import settings

from tests.redis_server import redis_server

# A check that gates a change draws the same cases each time; HYPOTHESIS_PROFILE=random draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("random")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

__all__ = ["redis_server"]
