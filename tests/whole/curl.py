"""As much of curl as the tests ask of it, for machines that have none: `python -m tests.whole.curl`.

Rule: where there is a curl, the tests use that one.
"""

from __future__ import annotations

import argparse
import sys

import httpx


def main() -> None:
    """Makes one request, and writes the body of the answer as it comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-d", "--data", "--data-binary", dest="data")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-s", "--silent", action="store_true")
    parser.add_argument("-N", "--no-buffer", action="store_true")
    options = parser.parse_args(_apart(sys.argv[1:]))
    headers = dict(header.split(": ", 1) for header in options.header)
    body = options.data.encode() if options.data is not None else None
    if body == b"@-":
        body = sys.stdin.buffer.read()
    if body is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    url = options.url if "://" in options.url else f"http://{options.url}"
    method = "GET" if body is None else "POST"
    with httpx.stream(method, url, content=body, headers=headers, timeout=None) as answer:
        for part in answer.iter_raw():
            sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()


def _apart(arguments: list[str]) -> list[str]:
    """Takes `-sN` apart."""
    return [part for text in arguments for part in (("-s", "-N") if text == "-sN" else (text,))]


if __name__ == "__main__":
    main()
