"""The network of translation: an encoder, a decoder that attends to it, and an output softmax that may share embeddings."""

from typing import Any

import keras
from keras import ops

from nlp_suite.layers.batch_share import drawn
from nlp_suite.layers.full_softmax import FullSoftmax
from nlp_suite.layers.inline import apply
from nlp_suite.tasks.shared.networks import ModelOfLayers, token_losses
from nlp_suite.text.text_layer import END, PAD, START


@keras.saving.register_keras_serializable("nlp_suite")
class TranslationModel(ModelOfLayers):
    """Source and target token ids to the log-probabilities of every next target token.

    Called with `{"source": int32 [B, S], "target_in": int32 [B, T]}` (both right-padded with 0; `target_in` begins with
    START) it gives log-probabilities float32 `[B, T, V]`. With `"targets"` int32 `[B, T]` and `"weights"` float32 `[B, T]`
    too, as `nlp_suite.data.kinds.pairs.batches.pair_arrays` makes them, it gives the negative log-likelihood of the targets,
    float32 `[B, T]`, without ever holding `[B, T, V]`, and adds its mean, smoothed in training, to the losses. With
    `"teacher_forcing_prob"` float32 `[B]`, the decoder reads a token of the reference with that probability and otherwise what the
    model itself would have written there (parallel scheduled sampling: Bengio et al. 2015, in the two passes of Mihaylova
    & Martins 2019); in training only.

    `encode`, `initial_state` and `step` do one target token at a time with the same numbers.

    Args:
        backbone: the encoder, a `Backbone` that returns a sequence.
        decoder: a `Decoder`.
        target_vocabulary_size: V of the target; `None`: the source's vocabulary is shared.
        tie_embeddings: `"all"`: one table for source, target and output (Press & Wolf 2017); `"target"`: one for target and
            output; `"none"`.
        label_smoothing: part of the target distribution that is spread evenly over all V tokens in training.
        dropout: rate on the decoder's features, the same at every token.

    Attributes:
        tokens_per_batch: what the summed loss of a training batch is divided by; `None`: by the batch's own tokens. Batches
            differ in their number of tokens; the same divisor for all gives every token the same weight.

    Example:
        >>> model = TranslationModel(GRUBackbone(8000), decoder)
        >>> memory = model.encode(source)
        >>> log_probs, state = model.step(tokens, model.initial_state(len(source), memory), memory)
    """

    saved_layers = ("backbone", "decoder")

    def __init__(
        self,
        backbone,
        decoder,
        target_vocabulary_size=None,
        tie_embeddings="target",
        label_smoothing=0.0,
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.settings = {
            "target_vocabulary_size": target_vocabulary_size,
            "tie_embeddings": tie_embeddings,
            "label_smoothing": label_smoothing,
            "dropout": dropout,
        }
        self.backbone, self.decoder = backbone, decoder
        self.vocabulary_size = target_vocabulary_size or backbone.vocabulary_size
        self.target_embedding = None
        if tie_embeddings != "all":
            self.target_embedding = keras.layers.Embedding(
                self.vocabulary_size, decoder.embedding_size, dtype=self.dtype_policy
            )
        self.softmax = FullSoftmax(
            self.vocabulary_size,
            tied=tie_embeddings != "none",
            embedding_size=decoder.embedding_size,
            dtype=self.dtype_policy,
        )
        self.drop = keras.layers.SpatialDropout1D(dropout, dtype=self.dtype_policy)
        self.seeds = keras.random.SeedGenerator()
        self.tokens_per_batch = None

    def build(self, input_shape=None) -> None:
        if not self.softmax.built:
            self.backbone.build((None, None))
            if self.target_embedding is not None:
                self.target_embedding.build((None, None))
            if not self.decoder.built:  # as it comes out of a file
                self.decoder.build(self.backbone.output_size, self.backbone.bidirectional)
            self.softmax.build((None, self.decoder.output_size))
        self.built = True

    @property
    def pretrained_decoder(self) -> Any:
        return self.decoder if self.decoder.reads_marks else None

    @property
    def _embedding(self):
        return self.backbone.embedding if self.target_embedding is None else self.target_embedding

    @property
    def _table(self):
        return None if self.settings["tie_embeddings"] == "none" else self._embedding.embeddings

    def call(self, inputs, training=None) -> Any:
        training = bool(training)
        memory = self.encode(inputs["source"], training)
        target_in = inputs["target_in"]
        if "targets" not in inputs:
            return self.log_probs(self.forced(memory, target_in, training)[0])  # [B, T, V]
        if training and "teacher_forcing_prob" in inputs:
            target_in = self._mix_in_model_predictions(memory, target_in, inputs["teacher_forcing_prob"])
        return self._loss(self.forced(memory, target_in, training)[0], inputs["targets"], inputs["weights"], training)

    def _loss(self, features, targets, weights, training):
        """Adds the loss; returns the negative log-likelihoods `[B, T]`."""
        weights = ops.cast(weights, "float32")  # Keras casts inputs to the compute dtype
        smoothing = self.settings["label_smoothing"]
        total, count, nll = token_losses(
            self.softmax, self._table, features, targets, weights, training, label_smoothing=smoothing
        )
        divisor = self.tokens_per_batch if training and self.tokens_per_batch else ops.maximum(count, 1.0)
        self.add_loss(total / divisor)
        return nll

    def _mix_in_model_predictions(self, memory, target_in, teacher_forcing_prob):
        """Decoder inputs `[B, T]`: each token after START is the reference's with that probability `[B]`, else the model's.

        The model's tokens are those that it predicts given the reference before them.
        """
        features, _ = self.forced(memory, target_in)
        flat = ops.reshape(ops.stop_gradient(features), (-1, features.shape[-1]))
        tokens = ops.reshape(target_in, (-1,))
        _, predicted = self.softmax.nll(flat, tokens, self._table, best=True)
        predicted = ops.reshape(predicted, ops.shape(target_in))  # [B, T]
        predicted_in = ops.concatenate([target_in[:, :1], predicted[:, :-1]], axis=1)  # [B, T]
        draws = drawn(lambda shape: keras.random.uniform(shape, dtype="float32", seed=self.seeds), ops.shape(target_in))
        is_token = ops.minimum(predicted_in, target_in) > PAD  # a PAD among the tokens would be a hole
        replaced = draws >= ops.cast(ops.expand_dims(teacher_forcing_prob, 1), "float32")
        return ops.where(ops.logical_and(replaced, is_token), predicted_in, target_in)

    def encode(self, source, training=False) -> Any:
        """What the decoder needs of the source: a tree of tensors with the batch in dim 0.

        Args:
            source: int32 `[B, S]`, right-padded with 0, at least one token a row.
            training: whether dropout is on.
        """
        if self.decoder.reads_marks:
            source = _after(START, source)  # [B, 1 + S]
        features = apply(self.backbone, source, training=training)  # [B, S, D]
        return self.decoder.memory(features, self.backbone.output_mask(ops.not_equal(source, PAD)), training)

    def forced(self, memory, target_in, training=False) -> tuple:
        """Teacher forcing.

        Args:
            memory: of B sentences, see `encode`.
            target_in: int32 `[B, T]`, START and the tokens before the ones to predict, right-padded with 0.
            training: whether dropout is on.

        Returns:
            Features `[B, T, F]` for the softmax and attention weights float32 `[B, T, S]`.
        """
        if self.decoder.reads_marks:
            target_in = _after(END, target_in)
        embedded = self._embedding(target_in)  # [B, T, E]
        features, weights = self.decoder(embedded, ops.not_equal(target_in, 0), memory, training=training)
        if self.decoder.reads_marks:
            features, weights = features[:, 1:], _without_mark(weights[:, 1:])
        return self.drop(features, training=training), weights

    def log_probs(self, features) -> Any:
        """Log-probabilities float32 `[..., V]` of features `[..., F]`."""
        return self.softmax.log_probs(features, self._table)

    def nll_of(self, memory, target_in, targets) -> tuple:
        """Negative log-likelihood float32 `[B, T]` of targets, and which of them are the most probable token, bool `[B, T]`."""
        features, _ = self.forced(memory, target_in)
        flat = ops.reshape(features, (-1, features.shape[-1]))
        nll, best = self.softmax.nll(flat, ops.reshape(targets, (-1,)), self._table, best=True)
        shape = ops.shape(targets)
        return ops.reshape(nll, shape), ops.equal(ops.reshape(best, shape), targets)

    def initial_state(self, rows, memory, length=None) -> Any:
        """The decoder's state before START, for `rows` = B·K hypotheses of B sentences, K beside each other.

        `length`: the most tokens that will be read, where it is known, see `Decoder.initial_state`.
        """
        state = self.decoder.initial_state(rows, memory, length)
        if not self.decoder.reads_marks:
            return state
        end = ops.full((rows,), END, dtype="int32")
        return self.decoder.step(self._embedding(end), state, memory)[1]

    def step(self, tokens, state, memory) -> tuple:
        """One token of every hypothesis: int32 `[B·K]` and a state → log-probabilities float32 `[B·K, V]` and a state."""
        log_probs, state, _ = self.step_with_attention(tokens, state, memory)
        return log_probs, state

    def step_with_attention(self, tokens, state, memory) -> tuple:
        """As `step`; the third result is the attention of this step, float32 `[B·K, S]`."""
        logits, state, weights = self.logits_step(tokens, state, memory)
        return ops.log_softmax(logits), state, weights

    def logits_step(self, tokens, state, memory) -> tuple:
        """As `step_with_attention`, with the logits in place of the log-probabilities."""
        features, state, weights = self.decoder.step(self._embedding(tokens), state, memory)
        if self.decoder.reads_marks:
            weights = _without_mark(weights)
        return self.softmax.logits(features, self._table), state, weights

    def layer_groups(self) -> list[list]:
        """Trainable variables from the bottom to the top: encoder, target embedding, decoder, softmax; each once."""
        groups = self.backbone.layer_groups()
        if self.target_embedding is not None:
            groups.append(list(self.target_embedding.trainable_variables))
        return [*groups, *self.decoder.layer_groups(), list(self.softmax.trainable_variables)]


def _after(token, rows):
    """Rows `[B, T]` with a token before each, `[B, 1 + T]`."""
    return ops.concatenate([ops.zeros_like(rows[:, :1]) + token, rows], axis=1)


def _without_mark(weights):
    """Attention weights `[..., 1 + S]` over the tokens of the source alone, `[..., S]`; they sum to 1."""
    weights = weights[..., 1:]
    return weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1e-9)
