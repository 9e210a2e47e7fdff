"""The compiled part of translation: from source ids to hypotheses, attention and losses, with one model or several."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import keras
from keras import ops

from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.decoding.ensemble import ensemble
from nlp_suite.decoding.generate import generate
from nlp_suite.decoding.sampling import Options
from nlp_suite.tasks.shared.compiled import compiled
from nlp_suite.text.text_layer import END, NEVER_GENERATED, PAD, START

_IDS, _NUMBERS = ([None, None], "int32"), ([None], "int32")
_NUMBER: tuple[list[None], str] = ([], "float32")


class TranslationSearch:
    """Functions of arrays, each compiled for the options that shape its graph.

    Args:
        models: `TranslationModel`s over the same vocabularies; the answers are those of their mean probability.
    """

    def __init__(self, models):
        self.models = list(models)
        self._all = SimpleNamespace(variables=[v for model in self.models for v in model.variables])
        self._functions = {}

    def attention(self, source, target_in) -> Any:
        """Attention weights of the first model, float32 `[B, T, S]`, for tokens read int32 `[B, T]`."""
        return self._compiled(self._attention, [_IDS, _IDS], {})(source, target_in)

    def nll(self, source, target_in, targets) -> Any:
        """Negative log-likelihood of targets under the mean probability of the models, float32 `[B, T]`."""
        return self._compiled(self._nll, [_IDS, _IDS, _IDS], {})(source, target_in, targets)

    def beam(self, source, max_tokens, min_tokens, length_penalty, coverage_penalty, **options) -> dict[str, Any]:
        """Hypotheses as `beam_search` gives them.

        Args:
            source: int32 `[B, S]`.
            max_tokens: of a translation, int32 `[B]`.
            min_tokens: of a translation, int32 `[B]`.
            length_penalty: alpha of the GNMT length penalty, float32 `[]`.
            coverage_penalty: beta of the GNMT coverage penalty, float32 `[]`.
            **options: `limit`, `beam_size`, `n_best`, `no_repeat_ngram`, and `use_coverage`, whether there is a coverage
                penalty.
        """
        shapes = [_IDS, _NUMBERS, _NUMBERS, _NUMBER, _NUMBER]
        search = self._compiled(self.hypotheses, shapes, options)
        return search(source, max_tokens, min_tokens, length_penalty, coverage_penalty)

    def sample(self, source, max_tokens, options: Options, limit: int) -> dict[str, Any]:
        """One sampled translation a row, as `generate` gives it; `options` of arrays `[B]`."""
        shapes = [_IDS, _NUMBERS, *(([None], dtype) for dtype in ("float32", "int32", "float32", "float32", "int32"))]
        return self._compiled(self._sample, shapes, {"limit": limit})(source, max_tokens, *options)

    def _compiled(self, function, shapes, options):
        """The function of arrays, compiled once for these options; it answers with NumPy arrays."""
        key = (function.__name__, *sorted(options.items()))
        if key not in self._functions:
            self._functions[key] = compiled(partial(function, **options), self._all, shapes=shapes)
        call = self._functions[key]

        def answer(*arrays):
            arrays = [ops.convert_to_tensor(array, dtype) for array, (_, dtype) in zip(arrays, shapes, strict=True)]
            return keras.tree.map_structure(ops.convert_to_numpy, call(*arrays))

        return answer

    def _start(self, source, limit, sum_attention=False):
        """The step function over all models, the state before START, and what the step reads of the sources."""
        memories = [model.encode(source) for model in self.models]
        rows = ops.shape(source)[0]
        states = [model.initial_state(rows, memory, limit) for model, memory in zip(self.models, memories)]
        shared = {"memories": memories, "source_mask": source != PAD}
        if sum_attention:
            states = {"models": states, "received": ops.zeros_like(source, dtype="float32")}
            return (
                partial(_step_summing_attention, [model.step_with_attention for model in self.models]),
                states,
                shared,
            )
        return partial(_joint_step, [model.step for model in self.models]), states, shared

    def hypotheses(
        self,
        source,
        max_tokens,
        min_tokens,
        length_penalty,
        coverage_penalty,
        *,
        limit,
        beam_size,
        n_best,
        no_repeat_ngram,
        use_coverage,
    ) -> dict[str, Any]:
        """What `beam` compiles: the same of tensors, inside another graph."""
        step, state, shared = self._start(source, limit, use_coverage)
        return beam_search(
            step,
            state,
            *_start_prompts(max_tokens),
            max_tokens,
            limit=limit,
            beam_size=beam_size,
            end_token=END,
            shared=shared,
            forbidden=NEVER_GENERATED,
            length_penalty=length_penalty,
            coverage=(lambda state, shared: (state["received"], shared["source_mask"])) if use_coverage else None,
            coverage_penalty=coverage_penalty if use_coverage else 0.0,
            no_repeat_ngram=no_repeat_ngram,
            min_tokens=min_tokens,
            n_best=n_best,
        )

    def search_with_settings(self, settings, source, max_tokens, *, limit, n_best) -> dict[str, Any]:
        """`hypotheses` by a task's settings."""
        return self.hypotheses(
            source,
            max_tokens,
            settings.min_length,
            settings.length_penalty,
            settings.coverage_penalty,
            limit=limit,
            beam_size=settings.beam_size,
            n_best=n_best,
            no_repeat_ngram=settings.no_repeat_ngram,
            use_coverage=settings.coverage_penalty > 0,
        )

    def _sample(self, source, max_tokens, *options, limit):
        step, state, shared = self._start(source, limit)
        options, step = Options(*options), partial(step, shared=shared)
        return generate(
            step,
            state,
            *_start_prompts(max_tokens),
            max_tokens,
            options,
            limit=limit,
            end_token=END,
            forbidden=NEVER_GENERATED,
        )

    def _attention(self, source, target_in):
        model = self.models[0]
        return model.forced(model.encode(source), target_in)[1]

    def _nll(self, source, target_in, targets):
        def scorer(model):
            return lambda tokens, state: (-model.nll_of(model.encode(source), target_in, targets)[0], state)

        answers = ensemble([scorer(model) for model in self.models])(target_in, [()] * len(self.models))
        return -answers[0]


def _start_prompts(max_tokens) -> tuple[Any, Any]:
    """Prompts int32 `[B, 1]` and their lengths `[B]`: START in every row."""
    return ops.expand_dims(ops.full_like(max_tokens, START), -1), ops.ones_like(max_tokens)


def _joint_step(steps, tokens, states, shared):
    """A step of all models: the mean of their probabilities."""
    steps = [partial(step, memory=memory) for step, memory in zip(steps, shared["memories"], strict=True)]
    if len(steps) == 1:
        log_probs, state = steps[0](tokens, states[0])
        return log_probs, [state]
    return ensemble(steps)(tokens, states)


def _step_summing_attention(steps, tokens, state, shared):
    """As `_joint_step`, with a state that also sums up the attention, the mean over the models: `received` `[B*K, S]`."""
    weights = []

    def without_weights(step, tokens, state, memory):
        log_probs, state, attention = step(tokens, state, memory)
        weights.append(attention)
        return log_probs, state

    log_probs, states = _joint_step([partial(without_weights, step) for step in steps], tokens, state["models"], shared)
    mean = sum(ops.cast(attention, "float32") for attention in weights) / len(weights)
    return log_probs, {"models": states, "received": state["received"] + mean}
