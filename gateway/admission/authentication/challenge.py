"""Challenges: what `WWW-Authenticate` says, and the errors that carry it.

Sources: RFC 9110, 11.6.1; RFC 6750, section 3 and 3.1.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.transcoding.metadata import Headers
from gateway.transcoding.status import INVALID_ARGUMENT, UNAUTHENTICATED, StatusError

WWW_AUTHENTICATE: Final = b"www-authenticate"
_NOT_IN_DESCRIPTIONS: Final = re.compile(r'[^\x20-\x7e]|["\\]')
"""RFC 6750, section 3: `error_description` has no quotes, no backslashes and nothing beyond ASCII."""


def challenge(scheme: str, realm: str = "", error: str = "", description: str = "") -> str:
    """Returns a challenge.

    Args:
        scheme: `Bearer`, say.
        realm: empty: without one.
        error: `invalid_request`, `invalid_token` or `insufficient_scope`; empty: no credentials came.
        description: of the error, for developers.
    """
    pairs = (("realm", realm), ("error", error), ("error_description", description))
    parameters = ", ".join(
        f'{name}="{_NOT_IN_DESCRIPTIONS.sub("_", value)}"' for name, value in pairs if value
    )
    return f"{scheme} {parameters}" if parameters else scheme


def challenges(texts: tuple[str, ...]) -> Headers:
    """Returns challenges as headers of a 401, one for each."""
    return tuple((WWW_AUTHENTICATE, text.encode()) for text in texts if text)


def rejection(scheme: str, realm: str, description: str) -> StatusError:
    """Returns the error for wrong credentials: 401, `invalid_token` (RFC 6750, 3.1)."""
    text = challenge(scheme, realm, "invalid_token", description)
    return StatusError.of(UNAUTHENTICATED, description, headers=challenges((text,)))


def misuse(scheme: str, realm: str, description: str) -> StatusError:
    """Returns the error for credentials that came in a wrong way: 400, `invalid_request` (RFC 6750, 3.1)."""
    text = challenge(scheme, realm, "invalid_request", description)
    return StatusError.of(INVALID_ARGUMENT, description, headers=challenges((text,)))
