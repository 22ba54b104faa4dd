"""What the start and `protoway check` say of streams that processes share, or do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.contract.bindings import bind
from gateway.settings import Settings
from gateway.start_lines import streams_line, unshared_streams
from tests.contracts import feeds_contract

BINDINGS, _ = bind(feeds_contract().methods)


def settings(**given: Any) -> Settings:
    """Returns settings of an edge."""
    return Settings(descriptor_set=Path("feeds.binpb"), **given)


def test_workers_without_a_store_say_what_is_lost() -> None:
    """They name the streams whose readers may come back to another worker."""
    (line,) = streams_line(BINDINGS, settings(workers=2))

    assert line.startswith(
        "protoway: each of the 2 workers has its own streams of /feeds.v1.Feeds/"
    )
    assert "/feeds.v1.Feeds/DropOldest" in line
    assert "/feeds.v1.Feeds/Lingering" in line
    assert "/feeds.v1.Feeds/Plain" not in line
    assert "--feed-store" in line


def test_nothing_is_said_where_nothing_is_lost() -> None:
    """By one process, or with a store."""
    assert streams_line(BINDINGS, settings()) == ()
    assert streams_line(BINDINGS, settings(workers=2, store={"url": "redis://localhost"})) == ()
    plain = [each for each in BINDINGS if each.method.descriptor.name == "Plain"]
    assert streams_line(plain, settings(workers=2)) == ()


def test_streams_that_a_store_does_not_share_are_named() -> None:
    """Those of one reader; of them those that hold the server back, and why."""
    told = {text.partition(": ")[0].rpartition("/")[2]: text for text in unshared_streams(BINDINGS)}

    assert told.keys() == {"Lingering", "Disconnect", "PrivateDropOldest", "OwnIds", "OwnNumbers"}
    assert told["Disconnect"].endswith("each of its readers has a call of its own")
    assert told["OwnIds"].endswith(", and holds it back, which a log cannot do")
