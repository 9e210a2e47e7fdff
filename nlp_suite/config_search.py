"""The section `search` of a config: which settings are searched over which values, and for how long."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_serializer, model_validator

from nlp_suite.config_base import Settings
from nlp_suite.config_yaml import plain_values, shown
from nlp_suite.registry import unknown


def _numbers(value: Any) -> Any:
    """The two ends of a range as they are: whole numbers stay whole."""
    if value is None:
        return None
    ends = plain_values(value)
    if not (isinstance(ends, list) and len(ends) == 2 and all(type(end) in (int, float) for end in ends)):
        raise ValueError(f"write two numbers as [low, high], got {shown(value)}")
    if ends[0] >= ends[1]:
        raise ValueError(f"low must be below high, got {shown(value)}")
    return ends


def _is_dimension(value: Any) -> bool:
    """Whether a value looks like one of `Dimension`, and not like a mapping of keys to those."""
    return isinstance(value, Mapping) and not any("." in str(key) for key in value)


Ends = Annotated[list[Any] | None, BeforeValidator(_numbers)]


class Dimension(Settings):
    """The values of one setting that are searched: one of the three keys is given."""

    choice: Annotated[list[Any] | None, BeforeValidator(plain_values)] = Field(None, description="the values")
    range: Ends = Field(None, description="from the first to the second number; whole ones where the setting is whole")
    log: Ends = Field(None, description="the same, on a logarithmic scale")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = self.model_fields_set
        if len(given) != 1:
            raise ValueError(f"give one of choice, range and log, got {' and '.join(sorted(given)) or 'none'}")
        if self.choice is not None and any(value in self.choice[:i] for i, value in enumerate(self.choice)):
            raise ValueError(f"choice: every value once, got {shown(self.choice)}")
        if self.choice is not None and len(self.choice) < 2:
            raise ValueError(f"choice: two values or more are needed, got {shown(self.choice)}")
        if self.log is not None and self.log[0] <= 0:
            raise ValueError(f"log: both numbers must be above 0, got {shown(self.log)}")
        return self

    @model_serializer
    def _given(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in type(self).model_fields if key in self.model_fields_set}


class SearchSettings(Settings):
    """A search over settings. Beside these keys stand those searched, as `training.learning_rate: {log: [1e-4, 1e-2]}`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Dimension]

    trials: int = Field(20, ge=1, le=100_000, description="trainings in all, those that are pruned or fail included")
    hours: float | None = Field(
        None, gt=0, description="no trial begins once those before it have taken so many hours together"
    )
    monitor: str | None = Field(
        None,
        description="metric that is searched by, and `training.monitor` of every trial; default: that of the config",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of what the sampler draws")
    sampler: Literal["tpe", "random"] = Field(
        "tpe", description="tpe: five trials at random, then where the better ones lie; random: all at random"
    )
    pruner: Literal["median", "hyperband", "none"] = Field(
        "median",
        description="what ends a trial early: median: worse than half of those before it after as many checkpoint intervals, "
        "once five trials are complete; hyperband: not among the best third of its bracket",
    )

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        """What is no key of this section must be one of another: with a point in it, or with a mapping of values."""
        keys = values if isinstance(values, Mapping) else {}
        for key, value in keys.items():
            if key not in cls.model_fields and "." not in str(key) and not _is_dimension(value):
                hint = (
                    "; a setting to search is written with its section, as training.learning_rate: {log: [1e-4, 1e-2]}"
                )
                raise ValueError(unknown("key", key, cls.model_fields) + hint)
        return values

    @property
    def space(self) -> dict[str, Dimension]:
        """Key → the values that are searched, in the order of the config."""
        return dict(self.__pydantic_extra__)
