"""What a config may say of the sentiment task."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nlp_suite.config import ComponentSettings
from nlp_suite.tasks.sentiment.threshold import checked_rule

ONE_LABEL = ("single_label", "ordinal")  # problems whose texts have one label each, with a probability
Probability = Annotated[float, Field(gt=0, lt=1)]
TEACHER_WEIGHT = 0.5


def _listed(value: Any) -> Any:
    """A single name as a list of it."""
    return [value] if isinstance(value, str) else value


class SentimentSettings(ComponentSettings):
    """Settings of the sentiment task."""

    problem: Literal["single_label", "multi_label", "ordinal", "regression"] = Field(
        "single_label",
        description="what a text is answered with: one of the labels, any number of them, one of labels that have an order "
        "(such as stars), or a number",
    )
    thresholds: Literal["validation"] | Probability | dict[str, Probability] = Field(
        "validation",
        description="of multi_label: probability from which a label is given: chosen on validation for the F1 of each label, "
        "a number for all, or label → number (0.5 for the others)",
    )
    pooling: Annotated[list[Literal["first", "last", "mean", "max", "attention"]], BeforeValidator(_listed)] = Field(
        ["max"],
        min_length=1,
        description="what makes one vector of the backbone's features; several are concatenated; first: that of the first token, "
        "where BERT-like models are trained to have it",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="rate on the pooled features")
    hidden: int = Field(0, ge=0, description="units of a dense layer before the classifier; 0 for none")
    classifier: Literal["dense", "identity"] = Field(
        "dense",
        description="what makes logits of the pooled features: a dense layer, or nothing but a bias, so that there is a feature a "
        "label and each has weights of its own",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="probability that is spread over all labels")
    teacher: str | None = Field(
        None, description="run folder of a finished classifier of the same labels, whose probabilities are learned, too"
    )
    teacher_weight: float = Field(
        TEACHER_WEIGHT,
        gt=0,
        le=1,
        description="share of the teacher's probabilities in what is learned; the rest is the row's label",
    )
    calibration: Literal["auto", "none", "temperature"] = Field(
        "auto", description="temperature that divides the logits, fitted on validation; auto: where it helps there"
    )
    threshold: Annotated[float | dict[str, Any] | None, AfterValidator(checked_rule)] = Field(
        None,
        description="of two labels: probability from which the second is answered: a number, or chosen on validation for "
        "{beta: 1} (F-beta) or {cost: {false_positive: 1, false_negative: 5}}; default: the more probable label",
    )
    members: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        {}, description="of an ensemble, as nlp-suite ensemble writes it: name of a member → its weight"
    )
    word_vectors: str | None = Field(None, description="file of pretrained word vectors: a word and its numbers a line")
    train_word_vectors: bool = Field(True, description="whether training changes the embeddings")

    @model_validator(mode="after")
    def _frozen_vectors_are_given(self):
        if not self.train_word_vectors and not self.word_vectors:
            raise ValueError("train_word_vectors: false needs word_vectors, or random embeddings would stay random")
        return self

    @model_validator(mode="after")
    def _identity_stands_alone(self):
        if self.classifier == "identity" and (self.hidden or self.problem == "ordinal"):
            other = (
                f"hidden: {self.hidden}" if self.hidden else "problem: ordinal, which has thresholds over one number"
            )
            raise ValueError(f"classifier: identity does not go with {other}")
        return self

    @model_validator(mode="after")
    def _calibration_is_used(self):
        if self.calibration == "temperature" and self.problem not in ONE_LABEL:
            raise ValueError(f"calibration is for problem: {' or '.join(ONE_LABEL)}, not {self.problem}")
        if self.threshold is not None and self.problem != "single_label":
            raise ValueError(f"threshold is for problem: single_label, not {self.problem}")
        return self

    @model_validator(mode="after")
    def _teacher_is_used(self):
        if self.teacher is not None and self.problem != "single_label":
            raise ValueError(f"teacher is for problem: single_label, not {self.problem}")
        if self.teacher is None and self.teacher_weight != TEACHER_WEIGHT:
            raise ValueError(f"teacher_weight {self.teacher_weight:g} needs a teacher")
        return self

    @model_validator(mode="after")
    def _thresholds_are_used(self):
        if self.thresholds != "validation" and self.problem != "multi_label":
            raise ValueError(f"thresholds are for problem: multi_label, not {self.problem}")
        return self
