"""What a config may say of forecasting."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from nlp_suite.config import ComponentSettings

Level = Annotated[float, Field(gt=0, lt=1)]
Feature = Literal["time_of_day", "day_of_week", "day_of_month", "day_of_year", "month", "quarter"]
BLOCKS = 24  # of `horizon` steps, of which `max_horizon` may consist
Output = Literal["quantiles", "point", "gaussian", "student_t", "negative_binomial"]


class ForecastingSettings(ComponentSettings):
    """Settings of forecasting."""

    horizon: int = Field(12, ge=1, le=10_000, description="steps ahead that are forecast, all at once")
    max_horizon: int | None = Field(
        None,
        ge=2,
        description="steps ahead that may be asked for, up to 24 times horizon: beyond it a recurrent network goes on from its "
        "state and reads its own forecasts; default: horizon",
    )
    context: int = Field(36, ge=2, le=100_000, description="steps that the network reads; what is older is not seen")
    history: int | None = Field(
        None,
        ge=3,
        le=100_000,
        description="steps that a forecast reads, of rnn, lstm and gru in one direction: training goes through every series in "
        "segments of context steps and carries the state from one to the next (truncated BPTT); default: context, without",
    )
    season: int | Literal["auto"] = Field(
        "auto",
        description="steps of a season, for seasonal differences, MASE and the seasonal naive baseline; auto: by frequency",
    )
    calendar: list[Feature] = Field(
        [],
        description="what is read of the date of every step, as a place on a circle; month and quarter also of months",
    )
    category_size: int = Field(
        4,
        ge=1,
        le=1024,
        description="numbers of the vector that is learned for every word of data.source.static_categories",
    )
    transform: Literal["none", "log"] = Field("none", description="log: log(1 + y), for values from 0 on")
    difference: Literal["none", "last", "seasonal"] = Field(
        "none",
        description="what is read and forecast: values, or their difference to the step before (last) or a season before; a "
        "forecast is then added to the naive, or to the seasonal naive one",
    )
    scaling: Literal["standard", "minmax", "mean", "none"] = Field(
        "standard", description="mean 0 and deviation 1; range 0 to 1; divided by the mean size; or as they are"
    )
    scale_over: Literal["context", "training"] = Field(
        "context", description="what the scale is taken from: the steps that are read, or the training split as a whole"
    )
    output: Output = Field("quantiles", description="what is learned of every step ahead")
    quantiles: list[Level] = Field([0.1, 0.5, 0.9], min_length=1, description="levels that are answered, ascending")
    calibration: Literal["conformal", "none"] = Field(
        "conformal",
        description="intervals that hold too few values of the validation split are widened (not those of counts)",
    )
    point_loss: Literal["mae", "mse", "huber"] = Field("mae", description="of output: point")
    degrees_of_freedom: float = Field(4.0, gt=2, le=1000, description="of output: student_t; fewer: heavier tails")
    pooling: list[Literal["last", "mean", "max", "attention"]] = Field(
        ["last"], min_length=1, description="how features of the context become one vector; several are concatenated"
    )
    linear_path: bool = Field(
        True, description="add a linear forecast of the scaled context to the network's (Lai et al. 2018, section 3.5)"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="rate on the pooled features")
    test: int | None = Field(
        None, ge=1, description="steps at the end of every series held out for test; default: max_horizon"
    )
    stride: int | None = Field(
        None, ge=1, description="steps between two cut-offs of the rolling-origin backtest; default: horizon"
    )
    short_series: Literal["fail", "drop", "pad"] = Field(
        "fail", description="series shorter than context and horizon: refused, left out, or also read with fewer steps"
    )

    @model_validator(mode="after")
    def _fits(self) -> "ForecastingSettings":
        if self.quantiles != sorted(set(self.quantiles)):
            raise ValueError(f"quantiles must ascend, each once; got {self.quantiles}")
        if self.output == "quantiles" and 0.5 not in self.quantiles:
            raise ValueError(f"quantiles must hold 0.5, which is the forecast; got {self.quantiles}")
        if self.output == "point" and self.quantiles != type(self).model_fields["quantiles"].default:
            raise ValueError("output: point has no quantiles: leave them out")
        if self.output in ("point", "negative_binomial") and self.calibration != "conformal":
            raise ValueError(f"intervals of output: {self.output} are not calibrated: leave calibration out")
        if self.output != "point" and self.point_loss != "mae":
            raise ValueError(f"point_loss is for output: point, not {self.output}")
        plain = {"scaling": "mean", "transform": "none", "difference": "none"}
        if self.output == "negative_binomial" and any(getattr(self, key) != value for key, value in plain.items()):
            wanted = ", ".join(f"{key}: {value}" for key, value in plain.items())
            raise ValueError(f"output: negative_binomial is for counts as they are: set {wanted}")
        if self.output != "student_t" and self.degrees_of_freedom != 4.0:
            raise ValueError(f"degrees_of_freedom is for output: student_t, not {self.output}")
        if len(set(self.calendar)) < len(self.calendar):
            raise ValueError(f"calendar must name each feature once; got {self.calendar}")
        if isinstance(self.season, int) and self.season < 1:
            raise ValueError(f"season must be 1 or more, got {self.season}")
        if self.max_horizon is not None:
            if not self.horizon < self.max_horizon <= BLOCKS * self.horizon:
                raise ValueError(
                    f"max_horizon {self.max_horizon} must be above horizon {self.horizon}, and {BLOCKS} times that at most"
                )
            if self.pooling != ["last"]:
                raise ValueError(
                    f"max_horizon goes on from the last features: pooling must be [last], got {self.pooling}"
                )
            if self.output == "negative_binomial":
                raise ValueError("max_horizon is not for output: negative_binomial, whose quantiles are counts")
        if self.history is not None:
            if self.history <= self.context:
                raise ValueError(f"history {self.history} must be above context {self.context}, the steps of a segment")
            if self.pooling != ["last"]:
                raise ValueError(
                    f"history carries a state to the last step: pooling must be [last], got {self.pooling}"
                )
            if self.scaling != "none" and self.scale_over == "context":
                raise ValueError(
                    "history needs scale_over: training (or scaling: none): the scale of a context would change from segment to "
                    "segment, and the state with it"
                )
        if self.test is not None and self.test < self.reach:
            name = "max_horizon" if self.max_horizon else "horizon"
            raise ValueError(f"test {self.test} is less than {name} {self.reach}: no forecast fits in")
        if self.scaling == "none" and self.scale_over != "context":
            raise ValueError("scale_over does nothing with scaling: none")
        return self

    @property
    def test_steps(self) -> int:
        """Steps that are held out for test."""
        return self.reach if self.test is None else self.test

    @property
    def reads(self) -> int:
        """Steps before a cut-off that a forecast reads."""
        return self.history or self.context

    @property
    def reach(self) -> int:
        """Steps ahead that may be asked for."""
        return self.max_horizon or self.horizon

    @property
    def cutoff_stride(self) -> int:
        """Steps between two cut-offs."""
        return self.stride or self.horizon
