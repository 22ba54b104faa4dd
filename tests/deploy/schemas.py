"""Makes the JSON Schemas that kubeconform reads: `python -m tests.deploy.schemas OUT SWAGGER CRD...`.

The schemas of Kubernetes' own kinds come from its OpenAPI document, those of others from their CRDs. They
are strict: a field that a schema does not list is an error. Rules in CEL (`x-kubernetes-validations`) are not
checked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

LOCATION: Final = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""Name of a schema's file, as kubeconform writes it: `deployment-apps-v1.json`."""
_REFERENCE: Final = "#/definitions/"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def schemas_of_kubernetes(swagger: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields file name and schema of each kind of Kubernetes' OpenAPI document."""
    definitions = {name: strict(one) for name, one in swagger["definitions"].items()}
    definitions[_QUANTITY] = {"type": ["string", "number"]}
    for name, definition in swagger["definitions"].items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            used = {each: definitions[each] for each in _used(name, definitions)}
            schema = {"$ref": _REFERENCE + name, "definitions": used}
            yield _file_name(kind["kind"], kind["group"], kind["version"]), schema


def schemas_of_crd(crd: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields file name and schema of each version of a CustomResourceDefinition."""
    spec = crd["spec"]
    for version in spec["versions"]:
        name = _file_name(spec["names"]["kind"], spec["group"], version["name"])
        yield name, strict(version["schema"]["openAPIV3Schema"])


def strict(schema: Any) -> Any:
    """Returns a schema that refuses fields which it does not list, and lets IntOrString be either."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {name: strict(one) for name, one in value.items()}
        if key == "properties"
        else strict(value)
        for key, value in schema.items()
        if key not in {"description", "format", "default"}
    }
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return {"type": ["string", "integer"]}
    if "properties" in made and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def _used(name: str, definitions: Mapping[str, Any]) -> set[str]:
    """Returns the names of a definition and of all that it refers to."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += _references(definitions[one])
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix(_REFERENCE)
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from _references(each)


def _file_name(kind: str, group: str, version: str) -> str:
    parts = (kind, group.partition(".")[0], version) if group else (kind, version)
    return "-".join(parts).lower() + ".json"


def main(arguments: Sequence[str]) -> None:
    """Writes all schemas to the folder OUT."""
    out, swagger, *crds = map(Path, arguments)
    out.mkdir(parents=True, exist_ok=True)
    schemas = [*schemas_of_kubernetes(json.loads(swagger.read_text()))]
    for path in crds:
        schemas += schemas_of_crd(yaml.load(path.read_text(), yaml.CSafeLoader))
    for name, schema in schemas:
        (out / name).write_text(json.dumps(schema))


if __name__ == "__main__":
    main(sys.argv[1:])
