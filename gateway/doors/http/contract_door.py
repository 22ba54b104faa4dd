"""What answers the requests of the contract, whatever the version of HTTP."""

from __future__ import annotations

from gateway.exchange.edge import Edge
from gateway.transcoding.request_head import REQUEST_ID


class ContractDoor:
    """What all requests of the contract share.

    Attributes:
        root_path: a proxy's prefix of all paths, or empty.
        is_secure: whether all requests come over TLS.
        edge: what is served.
        id_key: metadata key of an id that the edge makes; None if it does not go upstream.
    """

    def __init__(self, edge: Edge, root_path: str = "", *, secure: bool = False) -> None:
        """Takes what is served."""
        self.root_path = root_path
        self.is_secure = secure
        self.edge = edge
        self.id_key = edge.metadata.request.get(REQUEST_ID)

    @property
    def head_misses(self) -> int:
        """Heads that a cache did not have; 0 where there is none."""
        return 0
