"""Generates all files that are made from `protos/`, or checks that the committed ones are up to date.

    python scripts/generate.py            write
    python scripts/generate.py --check    write nothing; exit 1 and list stale files

Rule: generated files are not edited by hand, and this script makes all of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from importlib.resources import files
from pathlib import Path

import google.api
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = Path("grpc_core/_generated")
OPTIONS = Path("gateway/v1")
"""Package of the edge's options, equal to their import path in a .proto."""
DESCRIPTOR_SET = Path("protos/descriptor_set.binpb")
EXT_AUTHZ = Path("gateway/admission/authorizer/ext_authz.binpb")
"""Descriptor set of the interface of Envoy's authorizers, which is no part of the contract."""
ENVOY = Path("envoy")
INCLUDES = [
    PROTOS,
    Path(next(iter(google.api.__path__))).parent.parent,
    Path(str(files("grpc_tools") / "_proto")),
]
ABSOLUTE_IMPORT = re.compile(
    r"^(?:import (\w+_pb2)|from ((?:finance|gateway)\.v\d+) import (\w+_pb2)) as", re.MULTILINE
)
MARK = '"""Made from protos/ by `make generate`; not to be edited."""\n'


def generate(out: Path) -> list[Path]:
    """Writes all generated files below `out`; returns their paths relative to it."""
    stubs = out / STUBS
    stubs.mkdir(parents=True, exist_ok=True)
    (out / DESCRIPTOR_SET).parent.mkdir(parents=True, exist_ok=True)
    found = sorted(
        (path.relative_to(PROTOS) for path in PROTOS.rglob("*.proto")), key=Path.as_posix
    )
    sources = [path for path in found if not path.is_relative_to(ENVOY)]
    options = [path for path in sources if path.is_relative_to(OPTIONS)]
    services = [path for path in sources if path not in options]
    _protoc(f"--python_out={out}", f"--pyi_out={out}", *options)
    _protoc(f"--python_out={stubs}", f"--pyi_out={stubs}", *sources)
    _protoc(f"--grpc_python_out={stubs}", *services)
    _protoc(
        f"--descriptor_set_out={out / DESCRIPTOR_SET}",
        "--include_imports",
        "--include_source_info",
        *sources,
    )
    (out / EXT_AUTHZ).parent.mkdir(parents=True, exist_ok=True)
    envoys = [path for path in found if path.is_relative_to(ENVOY)]
    _protoc(f"--descriptor_set_out={out / EXT_AUTHZ}", "--include_imports", *envoys)
    for path in stubs.rglob("*.py*"):
        # protoc writes absolute imports, which fail inside a package
        depth = len(path.relative_to(stubs).parts)
        path.write_text(ABSOLUTE_IMPORT.sub(partial(_relative_import, depth), path.read_text()))
    folders = [path for path in stubs.rglob("*") if path.is_dir()]
    for package in (stubs, *folders, out / OPTIONS):
        (package / "__init__.py").write_text(MARK)
    _envoy(out)
    made = [
        *stubs.rglob("*.py*"),
        *(out / OPTIONS).glob("*.py*"),
        *(out / path for path in (DESCRIPTOR_SET, EXT_AUTHZ)),
        *(out / ENVOY / name for name in ("envoy.yaml", "descriptor_set.binpb")),
    ]
    return sorted(path.relative_to(out) for path in made)


def _envoy(out: Path) -> None:
    """Writes Envoy's configuration for the contract, with the core in another container."""
    (out / ENVOY).mkdir(exist_ok=True)
    settings = (
        *("--descriptor-set", out / DESCRIPTOR_SET, "--upstream", "core:50051"),
        *("--host", "0.0.0.0", "--port", "8081", "--admin-port", "9901"),
        *("--metrics-port", "9903"),
        *("--max-message-bytes", "65536"),  # as in docker-compose.yml
        *("--descriptor-set-out", out / ENVOY / "descriptor_set.binpb"),
        *("--descriptor-set-path", "/etc/envoy/descriptor_set.binpb"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "envoy", *map(str, settings)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "PROTOWAY_" not in name},
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        sys.exit("generate: protoway envoy failed")
    (out / ENVOY / "envoy.yaml").write_bytes(done.stdout)


def _relative_import(depth: int, match: re.Match[str]) -> str:
    """Returns an import of a module that stands `depth` folders below the stubs' parent."""
    sibling, package, module = match.groups()
    return f"from {'.' * depth}{package or ''} import {sibling or module} as"


def _protoc(*arguments: str | Path) -> None:
    includes = [f"-I{path}" for path in INCLUDES]
    if protoc.main(["protoc", *includes, *map(str, arguments)]) != 0:
        sys.exit("generate: protoc failed")


def stale() -> list[Path]:
    """Returns the committed files that differ from freshly generated ones."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        made = generate(fresh)
        committed = {
            path.relative_to(ROOT)
            for folder in (STUBS, OPTIONS)
            for path in (ROOT / folder).rglob("*.py*")
            if path.suffix in (".py", ".pyi")
        }
        different = [
            path
            for path in made
            if not (ROOT / path).exists()
            or (ROOT / path).read_bytes() != (fresh / path).read_bytes()
        ]
        return sorted({*different, *(committed - set(made))})


def main() -> None:
    """Generates; with `--check` only compares."""
    if "--check" not in sys.argv[1:]:
        generate(ROOT)
        return
    if files_to_make := stale():
        sys.exit("stale, run `make generate`: " + ", ".join(map(str, files_to_make)))


if __name__ == "__main__":
    main()
