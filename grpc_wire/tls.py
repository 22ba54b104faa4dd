"""TLS as gRPC wants it: at least 1.2, and `h2` agreed upon by ALPN.

`grpc.ChannelCredentials` cannot be used: what is in them is nobody's business but grpcio's. So a channel
takes an `ssl.SSLContext`, which is made here from the same three things.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path


def client_context(
    root_certificates: bytes | None = None,
    private_key: bytes | None = None,
    certificate_chain: bytes | None = None,
) -> ssl.SSLContext:
    """Makes what `grpc.ssl_channel_credentials` would, of the same PEMs.

    Args:
        root_certificates: whom to trust; None are the system's.
        private_key: with which to prove who this is; None if nobody asks.
        certificate_chain: what says so, own certificate first.
    """
    cadata = root_certificates.decode("ascii") if root_certificates else None
    context = ssl.create_default_context(cadata=cadata)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if certificate_chain:
        _load(context, certificate_chain, private_key or b"")
    return context


def _load(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    # the ssl module reads keys from files only; this one is its owner's alone, and gone at once
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.pem"
        path.touch(mode=0o600)
        path.write_bytes(chain.rstrip() + b"\n" + key)
        context.load_cert_chain(path)
