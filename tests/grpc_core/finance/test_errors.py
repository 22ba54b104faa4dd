"""What a refusal carries."""

import pytest

from grpc_core.finance.errors import (
    FinanceError,
    InvalidArgumentError,
    OutOfRangeError,
    Violation,
)


@pytest.mark.parametrize("kind", [InvalidArgumentError, OutOfRangeError])
def test_a_place_is_named_everywhere(kind: type[FinanceError]) -> None:
    """In a stream, the message and each violation say which request is meant."""
    error = kind([Violation("a", "bad a"), Violation("b", "bad b")]).at(3)

    assert kind is type(error)
    assert str(error) == "request 3: bad a; request 3: bad b"
    assert (
        Violation("a", "request 3: bad a"),
        Violation("b", "request 3: bad b"),
    ) == error.violations
