"""The ids that the edge gives to requests."""

from __future__ import annotations

import os
import re

from gateway.exchange.request import new_request_id


def test_ids_are_of_one_form_and_differ() -> None:
    """Each has 32 hexadecimal digits, as a trace id has; they are drawn together, and none twice."""
    ids = [new_request_id() for _ in range(1000)]

    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert len(set(ids)) == len(ids)


def test_a_process_that_was_forked_draws_others() -> None:
    """What is drawn and not taken before a fork is the parent's alone."""
    new_request_id()
    reads, writes = os.pipe()
    child = os.fork()
    if not child:  # nothing of the tests may run here
        os.write(writes, new_request_id().encode())
        os._exit(0)
    os.close(writes)
    with open(reads, "rb") as pipe:
        drawn = pipe.read().decode()
    os.waitpid(child, 0)

    assert len(drawn) == 32
    assert drawn not in [new_request_id() for _ in range(100)]
