"""The last good rates on disk."""

from __future__ import annotations

import os
import threading
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from grpc_core.finance.eurofxref import MINIMAL, DayRates, InvalidRatesError
from grpc_core.live.last_good import read, write


def of(rate: int) -> list[DayRates]:
    """Returns a day on which each currency has this rate."""
    return [DayRates(date(2026, 11, 27), dict.fromkeys(sorted(MINIMAL), Decimal(rate)))]


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A file that is not there has no days; a written one is the only one in its folder."""
    path = tmp_path / "rates.xml"

    assert read(path) == []
    write(path, of(1))
    write(path, of(2))
    assert read(path) == of(2)
    assert os.listdir(tmp_path) == ["rates.xml"]


def test_it_is_whole_at_any_time(tmp_path: Path) -> None:
    """Whoever reads while it is replaced a hundred times reads one or the other."""
    path, done = tmp_path / "rates.xml", threading.Event()
    write(path, of(1))

    def replace() -> None:
        for number in range(100):
            write(path, of(number % 2 + 1))
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    while not done.is_set():
        assert read(path) in (of(1), of(2))
    writer.join()


def test_one_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    """And nothing is left beside it."""
    path = tmp_path / "rates.xml"
    path.mkdir()

    with pytest.raises(OSError, match="directory"):
        write(path, of(1))
    assert os.listdir(tmp_path) == ["rates.xml"]


@pytest.mark.parametrize("keep", [0, 1, 100, -1, -20])
def test_one_that_was_cut_is_refused(tmp_path: Path, keep: int) -> None:
    """Wherever it was, but for the end of the last line."""
    path = tmp_path / "rates.xml"
    write(path, of(1))
    path.write_bytes(path.read_bytes().rstrip()[:keep])

    with pytest.raises(InvalidRatesError, match="is no XML"):
        read(path)
