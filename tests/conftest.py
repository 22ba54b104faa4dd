"""What all tests share: how Hypothesis draws its cases, and that bytecode is kept."""

from __future__ import annotations

import os
import sys

from hypothesis import settings

# A check that gates a change draws the same cases each time; HYPOTHESIS_PROFILE=random draws new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("random")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# The suite starts hundreds of edges; each would compile the code again, which is a third of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
