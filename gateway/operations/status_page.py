"""The admin page: the report of `status_report` as HTML, without scripts, forms and links to elsewhere.

Rule: every value is escaped here, whatever it is.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from typing import Any, Final

MAX_ROUTES: Final = 500
"""Routes that the page has; /status.json has all."""
_STYLE: Final = (
    "body{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:75em;color:#222;background:#fff}"
    "h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}"
    "table{border-collapse:collapse}th,td{padding:.2em .8em .2em 0;text-align:left;"
    "border-bottom:1px solid #ddd;vertical-align:top}td.n{text-align:right}"
    "pre{background:#f4f4f4;padding:1em;overflow:auto}"
)
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""Headers of the page and of all that is beside it."""
_LINKS: Final = (
    '<p>The same as <a href="status.json">JSON</a>, <a href="metrics">metrics</a>;'
    ' from this machine <a href="debug/tasks">tasks</a> and'
    ' <a href="debug/profile?seconds=5">profile</a>.</p>'
)
_ABSENT: Final = "-"


def render_page(report: Mapping[str, Any]) -> str:
    """Returns the page of a report."""
    contract, upstream = report["contract"], report["upstream"]
    routes = report["routes"]
    more = len(routes) - MAX_ROUTES
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>protoway</title>",
        f"<style>{_STYLE}</style><h1>protoway {_text(report['version'])}</h1>",
        _pairs(
            {
                "contract": contract["file"],
                "fingerprint": ", ".join(contract["fingerprints"]),
                "services": ", ".join(contract["services"]),
                "last reload": _reload(contract["last_reload"]),
                "upstream": f"{upstream['address']} by {upstream['transport']}",
                "readiness": _checks(report["readiness"]),
                "at": report["time"],
            }
        ),
        _LINKS,
        _table("Workers", report["workers"]),
        _table("Routes", routes[:MAX_ROUTES]),
        f"<p>And {more} more.</p>" if more > 0 else "",
        _table("Streams", [report["streams"]]),
        _table("Feeds", report["feeds"]),
        _table(
            "Connections",
            [
                {"of clients": report["connections"]}
                | {f"upstream, {state}": n for state, n in report["upstream_connections"].items()}
                | {"calls that wait": report["upstream_calls_waiting"]}
            ],
        ),
        _table("Refusals", report["refusals"]),
        _table("Recent errors", [_dated(each, "time") for each in report["recent_errors"]]),
        _table(
            "Certificates",
            [{"setting": name, "ends": end} for name, end in report["certificates"].items()],
        ),
        _table(
            "Limits",
            [{"setting": name, "value": value} for name, value in report["limits"].items()],
        ),
        f"<h2>Settings</h2><pre>{_text(report['settings'])}</pre></html>\n",
    ]
    return "".join(parts)


def _reload(last: Mapping[str, Any] | None) -> str:
    if last is None:
        return "none"
    return "; ".join((f"{last['result']} at {last['at']}", *last["problems"], *last["warnings"]))


def _checks(readiness: Mapping[str, Any]) -> str:
    checks = readiness.get("checks", {})
    failed = [f"{name}: {each['reason']}" for name, each in checks.items() if "reason" in each]
    return ", ".join([readiness["status"], *failed])


def _pairs(values: Mapping[str, Any]) -> str:
    rows = (
        f"<tr><th>{_text(name)}<td>{_text(value)}" for name, value in values.items() if value != ""
    )
    return f"<table>{''.join(rows)}</table>"


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a heading and a table; the names of its columns are those of the first row with most."""
    widest: Mapping[str, Any] = max(rows, key=len) if rows else {}
    names = list(widest)
    if not names:
        return f"<h2>{_text(title)}</h2><p>None.</p>"
    head = "".join(f"<th>{_text(name.replace('_', ' '))}" for name in names)
    body = "".join(
        "<tr>" + "".join(_cell(row.get(name)) for name in names)
        for row in (_dated(each, "started") for each in rows)
    )
    return f"<h2>{_text(title)}</h2><table><tr>{head}{body}</table>"


def _cell(value: Any) -> str:
    kind = " class=n" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
    return f"<td{kind}>{_text(value)}"


def _dated(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Returns a row whose POSIX time is text."""
    return {**row, name: iso(row[name])} if name in row else row


def iso(time: float) -> str:
    """Returns a POSIX time as ISO 8601, in UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: Any) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, Mapping):
        return escape(", ".join(f"{name}: {each}" for name, each in value.items()))
    if isinstance(value, float):
        value = f"{value:.0f}" if value.is_integer() else f"{value:g}"
    return escape(str(value))
