"""How a log line names the request that it is about: by its id, its HTTP method and its path.

Rule: never by its query or by the value of a header other than the id, which may hold credentials.
"""

from __future__ import annotations


def request_name(request_id: str, http_method: str, raw_path: str) -> str:
    """Returns `request ID METHOD PATH`, in ASCII; the id is `-` where it is not known yet."""
    path = ascii(raw_path.partition("?")[0])[1:-1]
    return f"request {request_id or '-'} {http_method} {path}"
