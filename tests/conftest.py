"""What all tests share: how Hypothesis draws its cases."""

from __future__ import annotations

import os

from hypothesis import settings

# A check that gates a change draws the same cases each time; HYPOTHESIS_PROFILE=random draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("random")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
