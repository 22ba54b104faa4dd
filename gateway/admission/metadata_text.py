"""A text that somebody else has chosen, such as a claim or a name, as a value of metadata."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_OUTER_SPACES: Final = re.compile(r"\A +| +\Z")


def metadata_text(text: str) -> str:
    """Returns a text in printable ASCII, with `%`, anything else, and spaces at its ends percent-encoded.

    No two texts become the same: transports take spaces at the ends off, and servers refuse them (RFC 9113,
    8.2.1).
    """
    return _OUTER_SPACES.sub(lambda spaces: "%20" * len(spaces[0]), quote(text, safe=_PRINTABLE))
