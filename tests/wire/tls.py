"""TLS as a server and its clients have it: certificates of one CA, and credentials of either gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from grpc_wire import credentials as wire

MAKERS: dict[str, Any] = {"wire": wire, "grpcio": grpc}
"""What makes credentials; its two functions have the same names and arguments."""


class Pems(NamedTuple):
    """What a party has."""

    ca: bytes
    key: bytes
    certificate: bytes


@dataclass(frozen=True)
class Tls:
    """A server with a certificate, and clients that trust it.

    Attributes:
        folder: where `tests.whole.certificates.made` has put the parties.
        mutual: whether clients have a certificate too, and the server asks for it.
    """

    folder: Path
    mutual: bool = True

    def pems(self, party: str) -> Pems:
        """Returns what a party has."""
        names = ("ca.pem", "key.pem", "certificate.pem")
        return Pems(*((self.folder / party / name).read_bytes() for name in names))

    def server(self, kind: str = "wire") -> Any:
        """Makes a server's credentials, of ours or of grpc's."""
        ca, *pair = self.pems("core")
        asks = (ca, True) if self.mutual else ()
        return MAKERS[kind].ssl_server_credentials([tuple(pair)], *asks)

    def channel(self, kind: str = "wire") -> Any:
        """Makes a channel's."""
        ca, *pair = self.pems("client")
        return MAKERS[kind].ssl_channel_credentials(ca, *(pair if self.mutual else ()))


def listen(server: Any, address: str, credentials: Any = None) -> int:
    """Lets a server have an address, with TLS if there are credentials; returns its port."""
    if credentials is None:
        return int(server.add_insecure_port(address))
    return int(server.add_secure_port(address, credentials))
