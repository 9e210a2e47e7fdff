"""The network of language modelling: a causal backbone and an output softmax that may share the embedding table."""

from typing import Any

import keras
from keras import ops

from nlp_suite.decoding.prefix import read_prompt
from nlp_suite.layers.adaptive_softmax import AdaptiveSoftmax
from nlp_suite.layers.carried_state import CarriedState
from nlp_suite.layers.full_softmax import FullSoftmax
from nlp_suite.layers.inline import apply
from nlp_suite.tasks.shared.networks import ModelOfLayers, token_losses
from nlp_suite.text.tokenizers.base import END


@keras.saving.register_keras_serializable("nlp_suite")
class LanguageModel(ModelOfLayers):
    """Token ids to the log-probabilities of what comes next.

    Called with token ids int32 `[B, T]` (right-padded with 0) it gives log-probabilities float32 `[B, T, V]` of the
    token after each. Called with the mapping that `nlp_suite.data.windows.window_arrays` makes, it gives the negative
    log-likelihood of the targets, float32 `[B, T]`, without ever holding `[B, T, V]`, and adds its mean to the losses.

    `initial_state` and `step` do one token at a time with the same numbers, `logits_step` with the logits.

    Args:
        backbone: a causal `Backbone`.
        tie_embeddings: the output softmax uses the embedding table (Press & Wolf 2017), behind a linear projection
            where the backbone's features have another size.
        cutoffs: of an adaptive softmax; `None`: a full softmax.
        dropout: variational rate on the backbone's features.
        activation_regularization: factor of the mean square of the features after dropout (Merity et al. 2017).
        temporal_regularization: factor of the mean squared difference of neighbouring features before dropout.
        start_token: what is read before a document.
        always_starts: whether it is read before every window that is cut out of a document, too, in training and evaluation,
            see `nlp_suite.data.windows`. So it must be where a pretrained model begins every text with it.

    Attributes:
        tokens_per_batch: what the summed loss of a training batch is divided by; `None`: by the batch's own tokens. Batches
            differ in their number of tokens; the same divisor for all gives every token the same weight.

    Example:
        >>> model = LanguageModel(LSTMBackbone(vocabulary_size=8000, bidirectional=False))
        >>> model(tokens)[:, -1]  # log-probabilities of the next token
    """

    def __init__(
        self,
        backbone,
        tie_embeddings=True,
        cutoffs=None,
        dropout=0.0,
        activation_regularization=0.0,
        temporal_regularization=0.0,
        start_token=END,
        always_starts=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.settings = {
            "tie_embeddings": tie_embeddings,
            "cutoffs": None if cutoffs is None else list(cutoffs),
            "dropout": dropout,
            "activation_regularization": activation_regularization,
            "temporal_regularization": temporal_regularization,
            "start_token": start_token,
            "always_starts": always_starts,
        }
        self.start_token, self.always_starts = start_token, always_starts
        self.backbone = backbone
        backbone.add_output()
        sizes = {"tied": tie_embeddings, "embedding_size": backbone.embedding_size, "dtype": self.dtype_policy}
        if cutoffs is None:
            self.softmax = FullSoftmax(backbone.vocabulary_size, bias_is_trained=backbone.has_output_bias, **sizes)
        else:
            self.softmax = AdaptiveSoftmax(backbone.vocabulary_size, cutoffs, **sizes)
        self.drop = keras.layers.SpatialDropout1D(dropout, dtype=self.dtype_policy)
        self.tokens_per_batch = None
        self.carried = [CarriedState(), CarriedState()]  # in evaluation, in training

    def build(self, input_shape=None) -> None:
        if not self.softmax.built:
            self.backbone.build((None, None))
            self.softmax.build((None, self.backbone.output_size))
        self.built = True

    def never_write(self, tokens) -> None:
        """Gives words no probability; `tokens` is bool `[V]`."""
        self.softmax.bias.assign(ops.where(tokens, -1e9, ops.convert_to_tensor(self.softmax.bias)))

    def carry(self, training_rows: int, evaluation_rows: int) -> None:
        """From now on the state of a batch is the start of the next one, row by row, apart for training and evaluation."""
        for carried, rows in zip(self.carried, (evaluation_rows, training_rows)):
            carried.allocate(self.backbone.initial_state(rows))

    @property
    def _table(self):
        return self.backbone.output_table if self.settings["tie_embeddings"] else None

    def call(self, inputs, training=None) -> Any:
        if not isinstance(inputs, dict):
            return self.softmax.log_probs(self.drop(self.backbone(inputs)), self._table)  # [B, T, V]
        return self._windows(inputs, bool(training))

    def _windows(self, inputs, training):
        weights = ops.cast(inputs["weights"], "float32")  # Keras casts inputs to the compute dtype
        features = self._features(inputs["tokens"], inputs["reset"], training)  # [B, T, D]
        dropped = self.drop(features, training=training)
        total, count, nll = token_losses(self.softmax, self._table, dropped, inputs["targets"], weights, training)
        loss = total / ops.maximum(count, 1.0)
        if training:
            loss = loss + self._regularization(features, dropped, weights)
            if self.tokens_per_batch:
                loss = loss * (count / self.tokens_per_batch)
        self.add_loss(loss)
        return nll  # [B, T]

    def loss_without_dropout(self, inputs) -> tuple[Any, Any]:
        """Mean negative log-likelihood of a batch of windows, with a gradient, and that of every target, float32 `[B, T]`."""
        weights = ops.cast(inputs["weights"], "float32")
        features = self._features(inputs["tokens"], inputs["reset"], False)  # [B, T, D]
        total, count, nll = token_losses(self.softmax, self._table, features, inputs["targets"], weights, True)
        return total / ops.maximum(count, 1.0), nll

    def _features(self, tokens, reset, training):
        carried = self.carried[training]
        if not carried.fits(tokens.shape[0]):  # Keras also tries the evaluation on a training batch
            return self.backbone(tokens, training=training)
        features, state = self.backbone(tokens, state=carried.read(reset), training=training)
        carried.write(state)
        return features

    def _regularization(self, features, dropped, weights):
        """AR and TAR of Merity et al. (2017), over the places that count."""
        alpha, beta = self.settings["activation_regularization"], self.settings["temporal_regularization"]
        penalty = 0.0
        if alpha:
            squares = ops.mean(ops.square(ops.cast(dropped, "float32")), axis=-1)  # [B, T]
            penalty = penalty + alpha * ops.sum(squares * weights) / ops.maximum(ops.sum(weights), 1.0)
        if beta:
            steps = ops.cast(features[:, 1:] - features[:, :-1], "float32")
            counted = weights[:, 1:]
            squares = ops.mean(ops.square(steps), axis=-1)  # [B, T-1]
            penalty = penalty + beta * ops.sum(squares * counted) / ops.maximum(ops.sum(counted), 1.0)
        return penalty

    def logits(self, tokens) -> Any:
        """What the softmax is taken of: float32 `[B, T, V]` for tokens int32 `[B, T]`."""
        return self.softmax.logits(apply(self.backbone, tokens), self._table)

    def nll(self, tokens, targets, state=None) -> Any:
        """Negative log-likelihood of targets, float32 `[B, T]`, for tokens int32 `[B, T]`; with a state, a pair of these and the new state."""
        _, nll, after = self.features_and_nll(tokens, targets, state)
        return nll if state is None else (nll, after)

    def features_and_nll(self, tokens, targets, state=None) -> tuple[Any, Any, Any]:
        """As `nll`, with the features before the softmax `[B, T, D]` ahead; the new state is None without a state."""
        features = self.backbone(tokens) if state is None else self.backbone(tokens, state=state)
        features, after = features if state is not None else (features, None)  # [B, T, D]
        flat = ops.reshape(features, (-1, features.shape[-1]))
        nll = ops.reshape(self.softmax.nll(flat, ops.reshape(targets, (-1,)), self._table), ops.shape(targets))
        return features, nll, after

    def last_log_probs(self, tokens, length) -> Any:
        """Log-probabilities float32 `[B, V]` of what follows the first `length` int32 `[B]` tokens of rows `[B, T]`."""
        features = self.backbone(tokens)  # [B, T, D]
        last = ops.reshape(length - 1, (-1, 1, 1))
        features = ops.take_along_axis(features, last, axis=1)[:, 0]  # [B, D]
        return self.softmax.log_probs(features, self._table)

    def initial_state(self, batch_size, memory=None, length=None) -> Any:
        """The state before the first token, of at most `length` where the backbone can use that; see `Backbone.initial_state`."""
        more = {"length": length} if self.backbone.reads_prompts_at_once and length else {}
        return self.backbone.initial_state(batch_size, memory, **more)

    def step(self, tokens, state) -> tuple:
        """One token: int32 `[B]` and a state → log-probabilities of the next one, float32 `[B, V]`, and the new state."""
        logits, state = self.logits_step(tokens, state)
        return ops.log_softmax(logits), state

    def logits_step(self, tokens, state) -> tuple:
        """As `step`, with the logits in place of the log-probabilities."""
        embedded = self.backbone.embed(ops.expand_dims(tokens, 1))[:, 0]  # [B, E]
        features, state = self.backbone.step(embedded, state)
        return self.softmax.logits(features, self._table), state

    def read_prompt(self, state, prompt, prompt_length) -> tuple:
        """As `decoding.prefix.read_prompt` of `step`, in one pass where the backbone can."""
        if not self.backbone.reads_prompts_at_once:
            return read_prompt(self.step, state, prompt, prompt_length)
        prompt = ops.cast(prompt, "int32")  # [B, P]
        last = ops.clip(ops.cast(prompt_length, "int32"), 1, ops.shape(prompt)[1]) - 1  # [B]
        state = self.backbone.read(self.backbone.embed(prompt[:, :-1]), last, state)
        rows = ops.arange(ops.shape(prompt)[0], dtype="int32") * ops.shape(prompt)[1]  # [B]
        return state, ops.take(ops.reshape(prompt, (-1,)), rows + last)

    def layer_groups(self) -> list[list]:
        """Trainable variables from the bottom to the top: the backbone's groups, then the softmax."""
        return [*self.backbone.layer_groups(), list(self.softmax.trainable_variables)]
