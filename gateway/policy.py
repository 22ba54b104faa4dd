"""The public names of policies and observers, for `create_app(..., policies=, observers=)`.

A policy decides whether a request may come in, an observer watches. `docs/reference/python-api.md` describes
both. Where their code stands (`gateway.exchange`) may change; this module stays.
"""

from __future__ import annotations

from gateway.exchange.observer import EndedBy, Observer, RequestEnd
from gateway.exchange.policy import Answer, Policy
from gateway.exchange.request_info import RequestInfo, Wire
from gateway.exchange.tally import Tally
from gateway.transcoding.status import StatusError

__all__ = [
    "Answer",
    "EndedBy",
    "Observer",
    "Policy",
    "RequestEnd",
    "RequestInfo",
    "StatusError",
    "Tally",
    "Wire",
]
