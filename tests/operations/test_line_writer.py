"""The thread that writes lines: it never holds up who puts them, and tells what it has lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server_process import line_writer
from server_process.line_writer import CHUNK_BYTES, LineWriter

_SECONDS = 10


def render(record: int) -> bytes:
    """Makes the line of a number."""
    return b"%d\n" % record


def render_loss(count: int) -> bytes:
    """Makes the line that tells a loss."""
    return b"lost %d\n" % count


def until(is_so: Callable[[], bool]) -> None:
    """Waits until something is so."""
    end = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_lines_are_whole_and_in_order(tmp_path: Path) -> None:
    """All that was put before the end is there."""
    file = tmp_path / "log"
    writer = LineWriter(render, render_loss, file)
    writer.start()
    for number in range(5000):
        writer.put(number)
    writer.close()

    assert file.read_text().splitlines() == [str(number) for number in range(5000)]
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_reader_that_stops_holds_nobody_up_and_is_told_what_it_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who puts never waits; the queue is bounded; the loss stands in a line once the reader reads again."""
    reading, writing = os.pipe()
    monkeypatch.setattr(line_writer, "_STDOUT", writing)
    writer = LineWriter(lambda _: b"x" * 1023 + b"\n", render_loss, max_records=100)
    writer.start()
    slowest, put = 0.0, 2000
    for number in range(put):
        began = time.thread_time()
        writer.put(number)
        slowest = max(slowest, time.thread_time() - began)
        if number % 50 == 0:
            time.sleep(0.002)
    until(lambda: writer.lost > 0)
    assert slowest < 0.01
    got = b""
    while b"lost" not in got:
        got += os.read(reading, 65536)
        writer.put(0)
        put += 1
    before = time.monotonic()
    writer.close()  # with a reader that has stopped again
    assert time.monotonic() - before < _SECONDS
    os.set_blocking(reading, False)
    while part := _read(reading):
        got += part
    os.close(reading)
    os.close(writing)

    lines = got.splitlines()
    told = sum(int(line.split()[1]) for line in lines if line.startswith(b"lost"))
    written = sum(line == b"x" * 1023 for line in lines)
    assert told > 0
    assert put - 120 <= written + told <= put  # the rest waited when the reader stopped for good


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    """As logrotate moves it, without a signal."""
    file, moved = tmp_path / "log", tmp_path / "log.1"
    writer = LineWriter(render, render_loss, file)
    writer.start()
    writer.put(1)
    until(lambda: file.exists() and file.read_text() == "1\n")
    file.rename(moved)
    writer.put(2)
    until(file.exists)
    writer.close()

    assert (moved.read_text(), file.read_text()) == ("1\n", "2\n")


def test_a_full_disk_is_a_warning_and_a_loss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, and not for each line; and it is told when there is room again."""
    file = tmp_path / "log"
    file.symlink_to("/dev/full")
    writer = LineWriter(render, render_loss, file)
    writer.start()
    for number in range(3):
        lost = writer.lost
        writer.put(number)
        until(lambda lost=lost: writer.lost > lost)  # type: ignore[misc]
    file.unlink()
    writer.put(3)
    writer.close()

    assert [record.message for record in caplog.records] == [
        f"the access log cannot be written to {file}: No space left on device"
    ]
    assert file.read_text() == "lost 3\n3\n"


def test_a_line_that_cannot_be_made_is_a_loss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread goes on."""

    def fails(record: int) -> bytes:
        if record == 1:
            raise ValueError("a fault")
        return render(record)

    writer = LineWriter(fails, render_loss, tmp_path / "log")
    writer.start()
    for number in range(3):
        writer.put(number)
    writer.close()

    assert (tmp_path / "log").read_text() == "lost 1\n0\n2\n"
    assert "cannot be made" in caplog.text


@pytest.mark.parametrize("is_pipe", [False, True])
def test_a_file_takes_more_at_once_than_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_pipe: bool
) -> None:
    """Each write of the thread makes the loop wait for the interpreter; only a pipe has a limit for it."""
    reading, writing = os.pipe()
    monkeypatch.setattr(line_writer, "_STDOUT", writing)
    sizes: list[int] = []
    write = os.writev

    def counted(fd: int, data: list[bytes]) -> int:
        sizes.append(sum(map(len, data)))
        return write(fd, data)

    monkeypatch.setattr(os, "writev", counted)
    writer = LineWriter(render, render_loss, None if is_pipe else tmp_path / "log")
    for number in range(8000):
        writer.put(number)
    writer.start()
    until(lambda: sum(sizes) == sum(len(render(number)) for number in range(8000)))
    writer.close()
    os.close(reading)
    os.close(writing)

    assert max(sizes) <= CHUNK_BYTES if is_pipe else len(sizes) <= 4


@pytest.mark.parametrize("is_pipe", [False, True])
def test_lines_that_are_made_stay_whole_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_pipe: bool
) -> None:
    """Beside records, and however many come at once: each write to a pipe has whole lines."""
    reading, writing = os.pipe()
    monkeypatch.setattr(line_writer, "_STDOUT", writing)
    parts: list[bytes] = []
    write = os.writev

    def noted(fd: int, data: list[bytes]) -> int:
        parts.append(b"".join(data))
        return write(fd, data)

    monkeypatch.setattr(os, "writev", noted)
    writer = LineWriter(render, render_loss, None if is_pipe else tmp_path / "log")
    for number in range(0, 3000, 100):
        writer.put(number)
        lines = [b"%d\n" % each for each in range(number + 1, number + 100)]
        writer.put_lines(b"".join(lines), len(lines))
    writer.start()
    writer.close()
    os.close(reading)
    os.close(writing)

    assert b"".join(parts).split() == [b"%d" % number for number in range(3000)]
    assert all(part.endswith(b"\n") for part in parts)
    assert not is_pipe or max(map(len, parts)) <= CHUNK_BYTES


def test_what_a_write_leaves_is_written_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write may take less than it is given; then no line is lost, cut or written twice."""

    def some(fd: int, data: list[bytes]) -> int:
        return os.write(fd, b"".join(data)[:1000])

    monkeypatch.setattr(os, "writev", some)
    file = tmp_path / "log"
    writer = LineWriter(render, render_loss, file)
    for number in range(3000):
        writer.put(number)
    writer.start()
    writer.close()

    assert file.read_text().splitlines() == [str(number) for number in range(3000)]
    assert writer.lost == 0


def test_a_line_that_is_longer_than_a_chunk_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is cut, and none is lost."""
    reading, writing = os.pipe()
    monkeypatch.setattr(line_writer, "_STDOUT", writing)
    writer = LineWriter(render, render_loss)
    long = "x" * (2 * CHUNK_BYTES) + "\n"
    writer.put_lines(f"1\n{long}2\n".encode(), 3)
    writer.start()
    writer.close()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == f"1\n{long}2\n".encode()


def test_lines_that_are_made_count_as_lost_each() -> None:
    """The queue's bound is one of lines, not of calls."""
    writer = LineWriter(render, render_loss, max_records=100)
    writer.put_lines(b"x\n" * 60, 60)
    writer.put_lines(b"x\n" * 60, 60)
    writer.put_lines(b"x\n" * 40, 40)
    writer.put(1)

    assert writer.lost == 61


def test_a_chunk_is_what_a_pipe_keeps_together() -> None:
    """So that lines of several processes do not mix (POSIX, `PIPE_BUF`)."""
    reading, writing = os.pipe()
    assert os.fpathconf(writing, "PC_PIPE_BUF") >= CHUNK_BYTES
    os.close(reading)
    os.close(writing)
