"""The error of a call whose upstream is not open, as in a mounted application without its lifespan."""

from __future__ import annotations

import logging
from typing import Final

from gateway.transcoding.status import INTERNAL, StatusError

log = logging.getLogger(__name__)

_NOT_OPEN: Final = (
    "the upstream is not open, because the lifespan of the edge was not run: run"
    " edge.router.lifespan_context(edge) in the outer application's lifespan"
)


class NotOpen:
    """Makes the errors of one upstream, and logs the first."""

    def __init__(self) -> None:
        self._logged = False

    def error(self) -> StatusError:
        """Returns an INTERNAL that says what to run."""
        if not self._logged:
            self._logged = True
            log.error(_NOT_OPEN)
        return StatusError.of(INTERNAL, _NOT_OPEN)
