"""The function that makes a response message's JSON, and what tells whether two of them make the same."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial


class FormEncoder(partial[bytes]):
    """Makes the JSON of a serialized response message."""

    form: Hashable
    """What of the message is printed, and how. Encoders of one type with equal forms print the same."""
