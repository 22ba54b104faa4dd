"""The verdicts of the differences equal those of `buf breaking`."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from functools import cache

import pytest

from gateway.contract.descriptors import load
from gateway.contract.evolution.differences import broken_rules
from gateway.contract.evolution.rules import Difference
from tests.contract.evolution.buf import VERDICTS, Verdicts, compiled, verdicts
from tests.contract.evolution.compare import LISTED, by_category
from tests.contract.evolution.pairs import PAIRS, Pair


@cache
def recorded() -> Verdicts:
    """Returns what buf said when it was asked last."""
    found: Verdicts = json.loads(VERDICTS.read_text())
    return found


@cache
def broken() -> dict[str, list[Difference]]:
    """Returns name of a pair -> what is broken; all are compared at once, which is faster."""
    found: dict[str, list[Difference]] = defaultdict(list)
    for one in broken_rules(load(compiled(new=False)), load(compiled(new=True))):
        pair = re.match(r"pairs[./](\w+)", one.element)
        assert pair, one
        found[pair[1]].append(one)
    return found


def test_there_are_enough_pairs_and_each_has_a_verdict() -> None:
    """A pair without a verdict would be compared with nothing."""
    names = [pair.name for pair in PAIRS]

    assert len(names) == len(set(names)) >= 120
    assert recorded().keys() == set(names)


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_the_same_rules_are_broken_as_buf_says(pair: Pair) -> None:
    """In each of its categories WIRE, WIRE_JSON and FILE, by name; what differs is listed with its reason."""
    found = by_category(broken()[pair.name])
    ours = {name: sorted(rules) for name, rules in found.items()}
    said = recorded()[pair.name]
    if pair.name in LISTED:
        assert ours == LISTED[pair.name][0] != said
    else:
        assert ours == said


@pytest.mark.evolution
def test_buf_says_what_is_recorded() -> None:
    """The real `buf breaking`, asked again."""
    assert verdicts(os.environ["BUF"]) == recorded()
