"""A language model that adapts to the text it reads: a continuous cache, dynamic evaluation.

Both predict every token before they learn from it, and both are reported beside the plain figures, never in their place: they
measure what a model and the text before a place know together.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from nlp_suite.config_base import Settings, in_one_line
from nlp_suite.errors import UnknownNameError, UsageError
from nlp_suite.predictor import Adaptation
from nlp_suite.registry import unknown

if TYPE_CHECKING:
    from nlp_suite.training.run import Run


class CacheSettings(Settings):
    """Continuous cache of Grave, Joulin & Usunier (2017): words that followed similar features a short while ago are likely again.

    p(w) = (1 - share) p_model(w) + share p_cache(w), where p_cache(w) is proportional to the sum of exp(theta h_t · h_i) over
    the last `size` places i that w followed, and h are the features before the softmax.
    """

    size: int = Field(2000, ge=1, le=1_000_000, description="places that are remembered")
    theta: float | None = Field(
        None,
        ge=0,
        description="how much more places count whose features are alike; default: chosen on the validation split among 1, 2, 4, 8, "
        "16 and 32 over the mean squared length of the features",
    )
    share: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="of the cache in the probability, lambda in the paper; default: chosen likewise among 0.01, 0.02, 0.05, 0.1, "
        "0.15, 0.2, 0.3, 0.4 and 0.5",
    )


class DynamicSettings(Settings):
    """Dynamic evaluation of Krause et al. (2018): after every segment the weights take a step of gradient descent on it.

    With gradient g, trained weights w0 and the root mean square r of the training split's gradients, a step is
    -learning_rate g / (r + 0.1 mean(r)) + min(decay r / mean(r), 1) (w0 - w); with `method: sgd`
    -learning_rate g + decay (w0 - w).
    """

    method: Literal["rms", "sgd"] = Field(
        "rms", description="rms: steps scaled by the gradients of at most 100 training batches; sgd: plain"
    )
    segment: int = Field(20, ge=1, le=10_000, description="tokens between two steps")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="default: chosen on the first 10,000 tokens of the validation split among 3e-5, 1e-4, 3e-4 and "
        "1e-3, for sgd among 0.03, 0.1, 0.3 and 1",
    )
    decay: float | None = Field(
        None,
        ge=0,
        le=1,
        description="pull back to the trained weights at every step; default: chosen likewise, then, among 0, 0.001 and 0.01",
    )


CHOSEN_ON = {"cache": 20_000, "dynamic": 10_000}  # tokens of the validation split, from its beginning
METHODS: dict[str, type[Settings]] = {"cache": CacheSettings, "dynamic": DynamicSettings}


class LanguageModelAdaptation(Adaptation):
    """Settings of the methods that are asked for: name → `CacheSettings` or `DynamicSettings`.

    Args:
        given: `"cache"` or `"dynamic"` → settings by key; an empty mapping has the defaults.

    Raises:
        UnknownNameError: there is no such method.
        UsageError: an unknown key, or a value out of range.
    """

    def __init__(self, given: Mapping[str, Mapping[str, Any]]):
        self.settings: dict[str, Any] = {}
        for name, values in given.items():
            if name not in METHODS:
                raise UnknownNameError(unknown("way to adapt", name, METHODS))
            try:
                self.settings[name] = METHODS[name].model_validate(dict(values))
            except ValidationError as error:
                raise UsageError(f"adapt {name}: {in_one_line(error)}") from None

    def report(self, run: "Run", split: str, stores: Mapping[str, Any]) -> dict[str, Any]:
        """See `nlp_suite.tasks.language_model.adaptation.report`."""
        from nlp_suite.tasks.language_model.adaptation.report import adapted_report

        return adapted_report(run, split, stores, self.settings)
