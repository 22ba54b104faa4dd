"""What one process tells for the admin page, and the report of all workers with what is the same in each."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from time import time
from typing import Any, Final

from gateway import __version__
from gateway.config_file.printing import DEFAULT, print_settings
from gateway.operations.metrics import Metrics
from gateway.operations.readiness import Readiness
from gateway.operations.status_page import iso
from gateway.operations.status_report import Told, report
from gateway.sections import Setting, flat_settings, value_of
from gateway.settings import Settings

_LIMIT: Final = re.compile(r"(^|_)(max|min)_|_seconds$")
"""Names of settings that are limits, beside the sections of limits."""
_LIMITS: Final = ("limits", "overload")
_SET: Final = "set"
"""Origin of a setting that is not at its default; `protoway settings` says what has set it."""


class Status:
    """The state of one process."""

    def __init__(self, metrics: Metrics, settings: Settings, readiness: Readiness) -> None:
        """Takes what is told."""
        self._metrics = metrics
        self._settings = settings
        self._readiness = readiness

    def tell(self) -> Told:
        """Returns what differs between workers."""
        edge = self._metrics.edge
        feeds = {} if edge is None else edge.feeds.by_method()
        return {
            "process": os.getpid(),
            "metrics": self._metrics.snapshot(),
            "feeds": [{"rpc": path[1:], **state._asdict()} for path, state in feeds.items()],
            "errors": self._metrics.requests.errors.listed(),
            "reload": self._reload(),
        }

    async def report(self, workers: Mapping[str, Told | None]) -> dict[str, Any]:
        """Returns the report of the page, of what each worker tells."""
        settings, edge = self._settings, self._metrics.edge
        bindings = () if edge is None else edge.served.transcoder.bindings
        routes = [(each.http_method, each.route, each.method.path[1:]) for each in bindings]
        found = report(workers, routes)
        fingerprints = {each["contract"] for each in found["workers"] if each["up"]}
        services = dict.fromkeys(each.method.service_name for each in bindings)
        return {
            "version": __version__,
            "python": platform.python_version(),
            "time": iso(time()),
            "contract": {
                "file": settings.contract_words(),
                "fingerprints": sorted(fingerprints),
                "services": list(services),
                "last_reload": _newest(workers.values()),
            },
            "upstream": {"address": settings.upstream, "transport": settings.transport},
            "readiness": json.loads((await self._readiness.ready()).body()),
            "certificates": self._certificates(),
            "limits": self._limits,
            **found,
            "settings": self._text,
        }

    def _reload(self) -> dict[str, Any] | None:
        """Returns what became of the last reload of this process; None: there was none."""
        state = self._metrics.reloads
        last = None if state is None else state.last
        return None if last is None else last.told() | {"at": last.at}

    def _certificates(self) -> dict[str, str]:
        return {
            name: iso(end)
            for renewed in self._metrics.renewed
            for name, end in renewed.ends().items()
        }

    @cached_property
    def _limits(self) -> dict[str, Any]:
        return {
            name: value_of(self._settings, setting.path)
            for name, setting in flat_settings(Settings).items()
            if setting.path[0] in _LIMITS or _LIMIT.search(name)
        }

    @cached_property
    def _text(self) -> str:
        """The settings as `protoway settings` prints them, secrets masked, without where each came from."""

        def origin(setting: Setting) -> str:
            default = setting.field.get_default(call_default_factory=True)
            return DEFAULT if value_of(self._settings, setting.path) == default else _SET

        return print_settings(self._settings, Settings.layout(), origin)


def _newest(workers: Iterable[Told | None]) -> dict[str, Any] | None:
    """Returns the last reload of all workers; one that was refused is known to the worker that has led it."""
    reloads = [each["reload"] for each in workers if each is not None and each["reload"]]
    last = max(reloads, key=lambda each: float(each["at"]), default=None)
    return None if last is None else {**last, "at": iso(last["at"])}
