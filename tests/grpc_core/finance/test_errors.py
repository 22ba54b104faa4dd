"""What a refusal carries."""

import pytest

from grpc_core.finance.errors import (
    FinanceError,
    InvalidArgumentError,
    OutOfRangeError,
    Violation,
    numbered,
)


@pytest.mark.parametrize("kind", [InvalidArgumentError, OutOfRangeError])
def test_a_place_is_named_everywhere(kind: type[FinanceError]) -> None:
    """In a stream, the message and each violation say which request is meant."""
    with pytest.raises(FinanceError) as caught, numbered(3):
        raise kind([Violation("a", "bad a"), Violation("b", "bad b")])

    assert kind is type(caught.value)
    assert str(caught.value) == "request 3: bad a; request 3: bad b"
    assert (
        Violation("a", "request 3: bad a"),
        Violation("b", "request 3: bad b"),
    ) == caught.value.violations
