"""What the settings of every section and component have in common."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from annotated_types import Le, Lt
from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from nlp_suite.config_yaml import quotes_hint, shown
from nlp_suite.registry import Registry, unknown

DEFAULT_MAX = 2**31 - 1  # of a setting without a bound of its own: graphs count with 32 bits


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused with the nearest right one; values cannot be changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        keys = values if isinstance(values, dict) else ()
        strange = [key for key in keys if key not in cls.model_fields]
        if wrong := [unknown("key", key, cls.model_fields) + cls.elsewhere(key) for key in strange]:
            raise ValueError("; ".join(wrong))
        return values

    @classmethod
    def elsewhere(cls, key: str) -> str:
        """What a message about an unknown key adds where other settings have it; nothing by default."""
        return ""

    @model_validator(mode="after")
    def _integers_fit(self) -> Self:
        for key, field in type(self).model_fields.items():
            value = getattr(self, key)
            is_bounded = any(isinstance(bound, Le | Lt) for bound in field.metadata)
            if isinstance(value, int) and not is_bounded and abs(value) > DEFAULT_MAX:
                raise ValueError(f"{key} {shown(value)} is too large; allowed: up to {DEFAULT_MAX}")
        return self


class ComponentSettings(Settings):
    """Base of the settings of a component chosen by name; the other fields are its constructor's arguments."""

    name: str

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments: every field but the name."""
        return {key: getattr(self, key) for key in type(self).model_fields if key != "name"}


class TokenizerSettings(ComponentSettings):
    """Base of the settings of a tokenizer that has a say in how text is normalised.

    Attributes:
        text_defaults: keys of `text` → what stands where nothing is given, in place of the defaults there.
        text_fixed: those of them for which nothing else can be given.
    """

    text_defaults: ClassVar[Mapping[str, Any]] = {}
    text_fixed: ClassVar[Collection[str]] = ()


if TYPE_CHECKING:
    Component = Any  # which fields a component's settings have is known to its registry alone
else:
    Component = SerializeAsAny[ComponentSettings]


@dataclass(frozen=True)
class ChosenByName:
    """Beside `Component`: the field holds a component of `registry`, as `Annotated[Component, ChosenByName(…)]`.

    What may be given is a name, or a mapping with `name` and settings; without `name` it means the one called `default`.
    """

    registry: Registry
    default: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._resolve, handler(source))

    def _resolve(self, value: Any) -> ComponentSettings:
        if isinstance(value, ComponentSettings):
            return value
        if isinstance(value, str):
            value = {"name": value}
        if isinstance(value, dict):
            value = {"name": self.default, **value}
        if not isinstance(value, dict) or not isinstance(value["name"], str):
            raise ValueError(f"a {self.registry.kind} is a name or a mapping with 'name' and settings, got {value!r}")
        try:
            settings: type[ComponentSettings] = self.registry.settings(value["name"])
        except KeyError as error:
            raise ValueError(str(error)) from None
        try:
            return settings.model_validate(value)
        except ValidationError as error:
            raise ValueError(in_one_line(error)) from None


def problems_of(error: ValidationError) -> list[str]:
    """Pydantic's errors as one line each: where, what was given, what is allowed."""
    lines = []
    for problem in error.errors():
        keys = (str(key) for key in problem["loc"])
        where = ".".join(key for key in keys if not key.startswith("function-"))
        message, given = problem["msg"].removeprefix("Value error, "), problem["input"]
        value = "" if problem["type"] == "value_error" else f", got {shown(given)}"
        value += quotes_hint(given) if problem["type"] == "string_type" else ""
        lines.append(f"  {where or 'experiment'}: {message}{value}")
    return lines


def in_one_line(error: ValidationError) -> str:
    """Pydantic's errors about one section, in one line of the message about the experiment."""
    return "; ".join(line.strip().removeprefix("experiment: ") for line in problems_of(error))
