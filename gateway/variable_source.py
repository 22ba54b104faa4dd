"""The environment as a source of settings: each simple field by its flat name behind a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from gateway.sections import flat_settings, nested


def given_variables(
    environment: Mapping[str, str], prefix: str, kind: type[BaseModel]
) -> dict[str, str]:
    """Returns flat name -> text, of the settings that the environment has; its case does not count."""
    given = {name.upper(): text for name, text in environment.items()}
    return {
        name: given[variable]
        for name in flat_settings(kind)
        if (variable := f"{prefix}{name.upper()}") in given
    }


class VariableSource(PydanticBaseSettingsSource):
    """Reads the environment when settings are made."""

    def __init__(
        self, settings_cls: type[BaseSettings], prefix: str, environment: Mapping[str, str]
    ) -> None:
        super().__init__(settings_cls)
        self._prefix = prefix
        self._environment = environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Is not called; pydantic-settings asks for it."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """Returns the values as arguments of the settings."""
        given = given_variables(self._environment, self._prefix, self.settings_cls)
        return nested(self.settings_cls, given)
