"""Compiles what every request passes, in a wheel that is made with `HATCH_BUILD_HOOK_ENABLE_CUSTOM=true`.

mypyc makes an extension module of each source below from its types, and the interpreter imports that instead
of the source beside it. Without this a wheel is pure Python, and says and does the same. Why, and what is
left out: docs/decisions/0065-compiled-modules.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGES: Final = ("gateway", "grpc_wire", "server_process")
COMPILED: Final = {
    "gateway/admission": ("cors",),
    "gateway/admission/authentication": (
        *("authentication", "jwt_authenticator", "remembered", "token"),
        *("token_location",),
    ),
    "gateway/admission/limits": ("gcra", "keys", "memory", "policy", "rules"),
    "gateway/contract": ("http_rule", "method", "path_template", "route_table"),
    "gateway/doors/http": (
        *("addresses", "asgi_bridge", "contract_door", "contract_exchange"),
        *("contract_route", "door", "exchange", "header_uses", "limits", "request"),
        *("request_head", "response"),
    ),
    "gateway/doors/http1": (
        *("connection", "direct", "lines", "plain_heads", "protocol"),
        *("request_parser", "rpc_heads"),
    ),
    "gateway/doors/http2": (
        *("connection", "direct", "door", "heads", "plain_head", "request_head"),
        *("rpc_heads", "stream"),
    ),
    "gateway/exchange": (
        *("call_metadata", "compression", "observation", "edge", "end", "exchange"),
        *("inline", "request", "request_info", "response", "routing", "serve"),
        *("served", "success", "unary", "unary_end", "unary_rpc"),
    ),
    "gateway/operations": ("access_record", "calls", "requests", "sampling", "unary_line"),
    "gateway/transcoding": (
        *("codec", "deadline", "decoding", "endpoint", "fast_path", "form_encoder"),
        *("metadata", "metadata_size", "negotiation", "parameters", "plain_query"),
        *("request_head", "success_status"),
    ),
    "gateway/transcoding/rpc": ("connect", "grpc", "metadata", "wire"),
    "gateway/upstream": (
        *("balanced", "outcome", "pool", "pooled_channel", "port", "retrying"),
        *("wire",),
    ),
    "grpc_wire/call": ("message", "metadata", "response", "status", "timeout"),
    "grpc_wire/client": ("balancer", "channel", "method", "stream", "subchannel"),
    "grpc_wire/headers": (
        *("block", "decoder", "encoder", "huffman", "section", "skipping", "table"),
    ),
    "grpc_wire/http2": (
        *("connection", "events", "frames", "header_sections", "inbound", "limits"),
        *("outbound", "receive_windows", "settings", "streams"),
    ),
    "grpc_wire/transport": (
        *("deadlines", "deferred_resets", "lifetime", "transport", "turn", "writer"),
    ),
    "server_process": ("exposition", "log_lines"),
}
"""Modules that are compiled, by folder."""
_MYPY: Final = """
[mypy]
ignore_missing_imports = true
[mypy-gateway.v1.*]
ignore_errors = true
"""
"""Settings of mypy. `make check` has checked the types; what is imported of others may be missing here."""
_SLOTS: Final = re.compile(r"(?m)(?<=^@dataclass\()slots=True(?:, )?|(?<=True), slots=True(?=[,)])")
"""`slots` of a dataclass, which mypyc does not support; compiled instances have no dict anyway."""
_SETUP: Final = """
import sys
from mypyc.build import mypycify
from setuptools import setup

made, jobs, *sources = sys.argv[1:]
extensions = mypycify(sources, opt_level="2", debug_level="0", multi_file=True, group_name="protoway")
setup(
    name="compiled",
    packages=[],
    ext_modules=extensions,
    script_args=["build_ext", "--build-lib", made, "--parallel", jobs],
)
"""


class CompiledModules(BuildHookInterface[Any]):
    """Adds the extension modules to a wheel, which is then one of this platform and interpreter."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles, before the wheel is made; an editable one is left as it is."""
        if version == "editable":
            return
        self._folder = Path(tempfile.mkdtemp(prefix="protoway-"))
        extensions = compile_modules(Path(self.root), self._folder)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"] |= extensions

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what was made on the way."""
        del version, build_data, artifact_path
        shutil.rmtree(self._folder, ignore_errors=True)


def compiled_sources() -> Iterator[str]:
    """Yields the path of each source that is compiled, below the root of the project."""
    for folder, names in COMPILED.items():
        yield from (f"{folder}/{name}.py" for name in names)


def without_slots(source: str) -> str:
    """Returns a source of which no dataclass has `slots`."""
    return _SLOTS.sub("", source)


def compile_modules(root: Path, folder: Path) -> dict[str, str]:
    """Compiles copies of the sources in a folder; returns each extension's path, and its path in a wheel.

    Raises:
        SystemExit: mypyc or the C compiler refuses, and why.
    """
    copies, made = folder / "sources", folder / "made"
    for package in PACKAGES:
        shutil.copytree(
            root / package, copies / package, ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
    for path in map(copies.joinpath, compiled_sources()):
        path.write_text(without_slots(path.read_text()))
    (copies / "mypy.ini").write_text(_MYPY)
    jobs = str(os.cpu_count() or 1)
    command = [sys.executable, "-c", _SETUP, str(made), jobs, *compiled_sources()]
    run = subprocess.run(command, cwd=copies, check=False, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"the modules cannot be compiled:\n{run.stdout}\n{run.stderr}")
    return {str(path): str(path.relative_to(made)) for path in sorted(made.rglob("*.so"))}
