"""Time series from tables: long (a row a date and series), wide (a column a series), or one column of numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from nlp_suite.config import ComponentSettings
from nlp_suite.data.selection import Example
from nlp_suite.data.series_table import Duplicates, Gaps, Regular, SeriesReader
from nlp_suite.data.sources.base import Paths, Source, listed
from nlp_suite.data.sources.parts import part_files
from nlp_suite.data.sources.reading import stamp
from nlp_suite.data.table_reading import Table, open_table
from nlp_suite.data.time_steps import Frequency
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES

ColumnName = str | Annotated[int, Field(ge=0)]


def _known_frequency(text: str) -> str:
    try:
        return text if text == "auto" else str(Frequency.parse(text))
    except DataError as error:
        raise ValueError(str(error)) from None


class SeriesSettings(ComponentSettings):
    """Which tables, which of their columns, and what is done with irregular steps."""

    name: str = "series"
    train: Paths | None = Field(
        None, description="tables of whole series: a path, a glob, a folder of parts, or a list; they are cut by time"
    )
    time: ColumnName | None = Field("ds", description="column of dates, by name or number; null: rows are numbered")
    value: ColumnName | Annotated[list[ColumnName], Field(min_length=1)] = Field(
        "y", description="column of values; of a wide table the list of them, each one a series of that name"
    )
    series: ColumnName | None = Field(
        None, description="column of series names; default: unique_id where there is one, else all rows are one series"
    )
    past_covariates: list[str] = Field(
        [], description="columns of numbers that are known up to the moment of a forecast"
    )
    future_covariates: list[str] = Field(
        [],
        description="columns of numbers that are known ahead, too; rows without a value after the last one hold what is coming",
    )
    static_covariates: list[str] = Field([], description="columns of numbers that are the same in all rows of a series")
    static_categories: list[str] = Field(
        [],
        description="columns of words that are the same in all rows of a series, such as a group of products; also that of series names",
    )
    frequency: Annotated[str, AfterValidator(_known_frequency)] = Field(
        "auto", description="auto: the most common distance of two dates, which is said; or day, month, 15 minutes, …"
    )
    gaps: Gaps = Field("fail", description="steps without a row: refused, or taken as missing values")
    duplicates: Duplicates = Field("fail", description="several rows of a step: refused, or made one value")
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="of tsv and csv; default: found")
    sheet: str | None = Field(None, description="of a workbook; default: the only one that has rows")
    header: bool | Literal["auto"] = Field("auto", description="auto: there is one when a column is given by name")

    @model_validator(mode="after")
    def _usable(self) -> "SeriesSettings":
        if self.train is None:
            raise ValueError("no file is given: set train")
        if isinstance(self.value, list) and self.series is not None:
            raise ValueError(
                "series names the rows of a long table, and a list of values is a wide one: give one of them"
            )
        named = [*self.covariates, *(name for name in self.static_categories if name != self.series)]
        if twice := [name for name in named if [*named, self.value, self.time, self.series].count(name) > 1]:
            raise ValueError(
                f"column {twice[0]!r} is given twice: a covariate is past, future or static, and nothing else"
            )
        return self

    @property
    def covariates(self) -> list[str]:
        """The columns of covariates: past, future and static ones."""
        return [*self.past_covariates, *self.future_covariates, *self.static_covariates]


@SOURCES.register(SeriesSettings)
class SeriesSource(Source):
    """Whole series of tables, one example each, in the order in which they first occur.

    A missing value is an empty cell, null, `NA` or `NaN`. All dates are of one form and in one time zone; several series
    may begin and end at different dates, and have one frequency.

    Args:
        **arguments: see `Source`; the settings are those of `SeriesSettings`.

    Attributes:
        frequency: of the series; found when they are read.

    Raises:
        DataError: a missing file or column; a cell that is no date or no number, with file, line and column; dates of
            several forms or time zones; gaps and duplicates that are refused.

    Example:
        >>> source = SeriesSource(kind="series", train="air.csv", time="Month", value="Passengers")
        >>> next(source.examples("train"))["values"][:3]
        array([112., 118., 132.])
    """

    Settings = SeriesSettings
    reads = "tables of time series"
    field_sets = (("series", "start", "frequency", "values"),)
    settings: SeriesSettings

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        self._files = part_files(listed(self.settings.train))
        self._read: tuple[list[Regular], Frequency] | None = None
        self._remarks: list[str] = []

    def splits(self) -> list[str]:
        return ["train"]

    def examples(self, split: str) -> Iterator[Example]:
        self._check_split(split)
        series, frequency = self._series()
        for each in series:
            example: Example = {
                "series": each.name,
                "start": frequency.written(each.start),
                "frequency": str(frequency),
            }
            if self.settings.static_categories:
                example["categories"] = each.words
            if self.settings.covariates:
                yield {**example, **self._with_covariates(each)}
            else:
                yield {**example, "values": each.values[:, 0]}

    def _with_covariates(self, series: Regular) -> Example:
        """Values, and covariates as arrays by their kind, see `History`."""
        s, values = self.settings, series.values[:, 0]
        known = np.flatnonzero(np.isfinite(values))
        steps = int(known[-1]) + 1 if s.future_covariates and len(known) else len(values)
        past, future, static = np.split(
            series.values[:, 1:], np.cumsum([len(s.past_covariates), len(s.future_covariates)]), axis=1
        )
        found = [
            _only(column, f"series {series.name!r}, column {name!r}")
            for column, name in zip(static.T, s.static_covariates)
        ]
        covariates = {"past": past[:steps], "future": future, "static": np.array(found)}
        return {
            "values": values[:steps],
            "covariates": covariates,
            "covariate_names": {kind: getattr(s, f"{kind}_covariates") for kind in covariates},
        }

    def _series(self) -> tuple[list[Regular], Frequency]:
        if self._read is None:
            self._read = self._read_tables()
        return self._read

    def _read_tables(self) -> tuple[list[Regular], Frequency]:
        settings, reader = self.settings, None
        values = settings.value if isinstance(settings.value, list) else [settings.value]
        for path in self._files:
            table = self._open(
                path, [settings.time, settings.series, *values, *settings.covariates, *settings.static_categories]
            )
            if reader is None:
                series = settings.series
                if series is None and len(values) == 1 and "unique_id" in (table.columns or ()):
                    series = "unique_id"
                reader = SeriesReader(settings.time, series, values, settings.covariates, settings.static_categories)
            reader.read(table)
        assert reader is not None  # there is a file or more
        series_, frequency, self._remarks = reader.regular(settings.frequency, settings.gaps, settings.duplicates)
        if settings.time is not None and settings.frequency == "auto":
            self._remarks.insert(
                0, f"a step is a {frequency}, the most common distance of two dates (source.frequency)"
            )
        return series_, frequency

    def _open(self, path: Path, places: list[Any]) -> Table:
        header, named = self.settings.header, any(isinstance(place, str) for place in places)
        return open_table(
            path,
            delimiter=self.settings.delimiter,
            sheet=self.settings.sheet,
            header=(named or "auto") if header == "auto" else header,
            on_error=self.on_error,
        )

    def remarks(self, split: str) -> list[str]:
        return self._remarks

    def fingerprint(self) -> str:
        return self._hash([stamp(path) for path in self._files])

    def _settings_facts(self) -> dict[str, Any]:
        """The hash is that from before there were covariates, where there are none."""
        facts = super()._settings_facts()
        return {
            name: value for name, value in facts.items() if value or not name.endswith(("_covariates", "_categories"))
        }


def _only(column: NDArray[np.float64], called: str) -> float:
    """The one value of a static covariate; NaN where it has none.

    Raises:
        DataError: it has several.
    """
    there = np.unique(column[np.isfinite(column)])
    if len(there) > 1:
        raise DataError(
            f"{called}: {there[0]:g} and {there[1]:g} in one series; a static covariate is the same in all rows of a series"
        )
    return float(there[0]) if len(there) else np.nan
