"""What tells contracts apart."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from gateway.contract.descriptors import Contract

_DIGITS: Final = 16


def fingerprint(contract: Contract) -> str:
    """Returns a digest of the methods with their rules, types and options; comments do not count."""
    digest = sha256()
    for method in sorted(contract.methods, key=lambda each: each.path):
        rule = b"" if method.rule is None else method.rule.SerializeToString(deterministic=True)
        digest.update(b"%b\0%b\0" % (method.path.encode(), rule))
        digest.update(method.descriptor.containing_service.file.serialized_pb)
    return digest.hexdigest()[:_DIGITS]
