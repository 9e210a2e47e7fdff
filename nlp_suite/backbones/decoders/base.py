"""The contract of a decoder: target embeddings and an encoded source to features and attention, whole or step by step."""

from abc import abstractmethod

import keras

from nlp_suite.settings.decoders import DecoderSettings as DecoderSettings  # for decoders of other packages


class Decoder(keras.layers.Layer):
    """A causal network over target embeddings `[B, T, E]` that attends to an encoded source `[B, S, D]`.

    It has no embedding table: the model gives it embeddings, which it scales and adds positions to where it needs that.
    Feeding a target one token at a time through `step` gives the same features as `call`. Attention weights are float32
    and sum to 1 over the source's tokens; they are the mean over heads, of the last layer that attends. Padding of the
    source never changes anything, nor does that of the target, which is on the right.

    Where K hypotheses a sentence are decoded, their rows follow each other: row b·K + k belongs to sentence b. The
    memory keeps B rows; K is the number of a step's rows over the memory's. `step` has no dropout.

    A subclass defines `output_size`, `build`, `memory`, `initial_state`, `call`, `step` and `stack`.

    Args:
        embedding_size: features E of a target embedding.

    Attributes:
        output_size: int, the features F of a step.
        settings: dict, the constructor's arguments for `get_config`; subclasses add their own.
        reads_marks: whether it reads END before START, and the encoder START before every source, as a pretrained model does.

    Example:
        >>> decoder = DECODERS.get("gru")(embedding_size=8, units=16)
        >>> decoder.build(memory_size=12)
        >>> memory = decoder.memory(encoded, mask)  # [B, S, 12], bool [B, S]
        >>> features, weights = decoder(x, target_mask, memory)  # [B, T, 8], bool [B, T] -> [B, T, F], [B, T, S]
    """

    reads_marks = False

    def __init__(self, embedding_size=128, **kwargs):
        super().__init__(**kwargs)
        self.settings = {"embedding_size": embedding_size}
        self.embedding_size = embedding_size

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Features F of a step."""

    @abstractmethod
    def build(self, memory_size, bidirectional_memory=False):
        """Makes the weights; called once, before anything else.

        Args:
            memory_size: features D of the encoder.
            bidirectional_memory: whether the second half of them runs backwards (`Backbone.bidirectional`).
        """

    @abstractmethod
    def memory(self, encoded, mask, training=False):
        """What a sentence's steps read of its source, computed once.

        Args:
            encoded: features `[B, S, D]` of the encoder.
            mask: bool `[B, S]`, true where there is a token; every row has one.
            training: whether dropout is on.

        Returns:
            A dict of trees of tensors with the batch in dim 0, with the mask under `"mask"`.
        """

    @abstractmethod
    def initial_state(self, batch_size, memory, length=None):
        """State before the first token: a tree of tensors with the batch in dim 0.

        Args:
            batch_size: rows B·K, K hypotheses for each of the memory's B sentences; an int or a scalar tensor. None: one for
                each, and caches grow by a place a step; so a functional model can be made of it, whose B is unknown.
            memory: of `memory`.
            length: upper bound of the tokens that will be read, where the caller knows one; it saves work in a cache.
        """

    @abstractmethod
    def call(self, x, mask, memory, training=None):
        """Teacher forcing: features of all steps at once.

        Args:
            x: embeddings `[B, T, E]` of the tokens read, START first.
            mask: bool `[B, T]`, true where there is a token, padding on the right.
            memory: of `memory`, B rows.
            training: whether dropout is on.

        Returns:
            Features `[B, T, F]` and attention weights, float32 `[B, T, S]`. Those of padding mean nothing.
        """

    @abstractmethod
    def step(self, x, state, memory):
        """One token of every hypothesis.

        Args:
            x: embeddings `[B·K, E]`.
            state: of `initial_state` or the step before.
            memory: of `memory`, B rows: it is not repeated.

        Returns:
            Features `[B·K, F]`, the new state, and attention weights, float32 `[B·K, S]`.
        """

    @abstractmethod
    def stack(self) -> list[list]:
        """The layers that hold variables, in groups from bottom to top."""

    def layer_groups(self) -> list[list]:
        """Trainable variables in groups from bottom to top, each variable once; that of frozen layers is empty."""
        return [[v for layer in layers for v in layer.trainable_variables] for layers in self.stack()]

    def get_config(self):
        return {**super().get_config(), **self.settings}
