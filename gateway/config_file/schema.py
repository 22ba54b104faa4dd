"""A JSON Schema (2020-12) of the settings file, for editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from gateway.config_file.layout import Layout
from gateway.sections import Setting

SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"


def file_schema(
    kind: type[BaseModel], layout: Layout, headings: Mapping[str, str]
) -> dict[str, Any]:
    """Returns the schema.

    Args:
        kind: the settings.
        layout: where each of them stands.
        headings: first setting of a group -> its heading, which describes the section.
    """
    whole = kind.model_json_schema()
    definitions: dict[str, Any] = whole.get("$defs", {})
    root = _section()
    for keys, setting in layout.settings.items():
        inner = root
        for key in keys[:-1]:
            inner = inner["properties"].setdefault(key, _section())
        if (heading := headings.get(setting.name)) is not None:
            inner.setdefault("description", heading)
        inner["properties"][keys[-1]] = _property(whole, definitions, setting)
    root |= {
        "$schema": SCHEMA,
        "title": "Settings of protoway",
        "$defs": _used(root, definitions, {}),
    }
    return root


def _section() -> dict[str, Any]:
    return {"type": ["object", "null"], "properties": {}, "additionalProperties": False}


def _property(whole: Mapping[str, Any], definitions: Mapping[str, Any], setting: Setting) -> Any:
    """Returns the schema of one setting, with the section that it is in left out."""
    schema: Any = whole
    for name in setting.path:
        if (reference := schema.get("$ref")) is not None:
            schema = definitions[reference.removeprefix("#/$defs/")]
        schema = schema["properties"][name]
    made = {key: value for key, value in schema.items() if key != "title"}
    if setting.field.is_required():
        made.pop("default", None)
    return made


def _used(schema: Any, definitions: Mapping[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Collects the definitions that a schema refers to, and those that they refer to."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            name = reference.removeprefix("#/$defs/")
            if name not in found:
                found[name] = definitions[name]
                _used(definitions[name], definitions, found)
        for value in schema.values():
            _used(value, definitions, found)
    elif isinstance(schema, list):
        for value in schema:
            _used(value, definitions, found)
    return found
