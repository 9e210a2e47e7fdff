"""The contract of a backbone: an embedding of token ids, and an encoder of features, whole or one step at a time."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Never

import keras
from keras import ops

from nlp_suite.errors import ConfigError
from nlp_suite.layers.inline import apply
from nlp_suite.layers.type_dropout import TypeDropout
from nlp_suite.layers.word_dropout import WordDropout
from nlp_suite.settings.backbones import BackboneSettings as BackboneSettings  # for backbones of other packages


class Backbone(keras.layers.Layer):
    """An embedding and an encoder: token ids `[B, T]`, or features `[B, T, E]`, to features `[B, T', D]`.

    `call` embeds token ids, of which 0 is padding, and encodes them. `encode` takes features of any origin: embeddings,
    rows of a pretrained table, a time series. Padding is on the right and never changes anything; every row has at
    least one place that counts. `output_mask` says which of the T' places of the features count.

    A causal backbone also has `initial_state` and `step`, which give the same features one place at a time.

    A subclass defines `output_size`, `encode`, `stack` and, for the weights above the embedding, `build_encoder`.

    Args:
        vocabulary_size: number of token ids V. None: there is no embedding, and `encode` is used alone.
        embedding_size: features E of a token embedding, or, without a vocabulary, of what `encode` reads. Any number will
            do for bag, cnn and recurrent networks; for a Transformer it is the width of all its layers, so it must suit
            heads and positions: numbers of another width are projected to it first.
        word_dropout: rate of tokens made unknown in training, see `WordDropout`.
        type_dropout: rate of rows of the embedding table dropped in training, see `TypeDropout`.
        embedding_dropout: rate of features dropped in training from what `encode` reads, the same ones at every place of a
            row: the variational dropout on the input of Merity et al. (2018).

    Attributes:
        output_size: int, features D.
        bidirectional: whether the second half of the features runs backwards.
        causal: whether no place sees those after it.
        carries_state: whether `encode` gives a state that continues the sequence in the next call.
        context_limit: how many places a step of a causal backbone looks at, itself included: the newest. None: there is
            no limit. In layers above the first, what they look at may have seen more.
        returns_sequence: whether T' is T: one feature vector a token, which a decoder may attend to.
        reads_prompts_at_once: whether `read` gives the state after many tokens in one pass.
        has_output_bias: whether the output of a language model on top of it has a bias that is trained.
        priors: weights that `learn_prior` counts from the training split before the training; empty for most.
        settings: dict, the constructor's arguments for `get_config`; subclasses add theirs.

    Raises:
        ConfigError: settings about tokens (their dropout) without a vocabulary.

    Example:
        >>> LSTMBackbone(vocabulary_size=8000)(tokens)  # [B, T] -> [B, T, D]
        >>> series = GRUBackbone(vocabulary_size=None, embedding_size=7)
        >>> series.build((None, None, 7))
        >>> features, state = series.encode(numbers, mask)  # [B, T, 7], bool [B, T] -> [B, T, D]
    """

    bidirectional: bool = False
    causal: bool = False
    carries_state: bool = False
    context_limit: int | None = None
    returns_sequence: bool = True
    reads_prompts_at_once: bool = False
    has_output_bias: bool = True
    priors: Sequence[Any] = ()
    embeddings_initializer: ClassVar[Any] = "uniform"

    def __init__(
        self,
        vocabulary_size,
        embedding_size=128,
        word_dropout=0.0,
        type_dropout=0.0,
        embedding_dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.settings = {
            "vocabulary_size": vocabulary_size,
            "embedding_size": embedding_size,
            "word_dropout": word_dropout,
            "type_dropout": type_dropout,
            "embedding_dropout": embedding_dropout,
        }
        self.vocabulary_size, self.embedding_size = vocabulary_size, embedding_size
        self._need_tokens(word_dropout=word_dropout, type_dropout=type_dropout)
        self.embedding = None if vocabulary_size is None else self._table(vocabulary_size)
        self.drop_words = WordDropout(word_dropout)
        self.drop_types = TypeDropout(type_dropout, vocabulary_size, dtype=self.dtype_policy)
        self.drop_features = keras.layers.SpatialDropout1D(embedding_dropout, dtype=self.dtype_policy)

    def _need_tokens(self, **settings):
        """Refuses settings that are on though there are no token ids."""
        wrong = [key for key, value in settings.items() if value]
        if wrong and self.vocabulary_size is None:
            raise ConfigError(f"backbone.{wrong[0]} is about tokens, and here numbers are read: leave it out")

    def _table(self, rows):
        """An embedding table of the given number of rows."""
        initializer = keras.initializers.get(self.embeddings_initializer)
        return keras.layers.Embedding(rows, self.embedding_size, initializer, dtype=self.dtype_policy)

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Features D."""

    def build(self, input_shape=None) -> None:
        """Makes the weights: of token ids `(None, None)`, or of features `(None, None, E)` without a vocabulary."""
        if not self.built:
            if self.embedding is not None:
                self.embedding.build((None, None))
            self.build_encoder()

    def build_encoder(self) -> None:
        """Builds the layers above the embedding, which read `embedding_size` features."""

    def embed(self, tokens):
        """What `encode` reads of token ids `[B, T]`: embeddings `[B, T, E]`, in training with words and types dropped.

        Raises:
            ValueError: there is no vocabulary.
        """
        tokens = self._with_word_dropout(tokens)
        return apply(self.drop_types, self.embedding(tokens), tokens)

    def _with_word_dropout(self, tokens):
        if self.embedding is None:
            raise ValueError(f"{type(self).__name__} has no vocabulary: give features to encode")
        return apply(self.drop_words, tokens)

    def embedding_mask(self, tokens):
        """Which places of `embed(tokens)` hold a token, bool `[B, T]`."""
        return ops.not_equal(tokens, 0)

    def call(self, tokens, state=None, training=None):
        """Features `[B, T', D]` of token ids `[B, T]`; given a state, features and the new state, see `encode`."""
        embedded, mask = self.embed(tokens), self.embedding_mask(tokens)
        features, after = self.encode(embedded, mask, state=state, training=training)
        return features if state is None else (features, after)

    @abstractmethod
    def encode(self, x, mask, *, state=None, training=False):
        """Features `[B, T', D]` of features `[B, T, E]`: the layers above the embedding.

        Args:
            x: features `[B, T, E]`; those of padding do not matter, as long as they are finite.
            mask: bool `[B, T]`, true where a place counts; padding is on the right.
            state: where to continue from: of `initial_state` or of the call before. None: from the beginning.
            training: whether dropout is on.

        Returns:
            Features `[B, T', D]`, and the state after the last place that counts, a tree of tensors with the batch in dim
            0; None where no state is carried.

        Raises:
            ValueError: a state for a backbone that carries none.
        """

    def encoder_input(self, x, mask, state=None, training=False):
        """`x` and `mask` of `encode` as tensors, with the dropout on what it reads; refuses a state where none is carried."""
        if state is not None and not self.carries_state:
            raise ValueError(f"{type(self).__name__} with these settings carries no state from call to call")
        if not isinstance(x, keras.KerasTensor):
            x, mask = ops.convert_to_tensor(x, self.compute_dtype), ops.convert_to_tensor(mask, "bool")
        return self.drop_features(x, training=training), mask

    def output_mask(self, mask):
        """Which places of the features count, bool `[B, T']`, given which places of the input do, bool `[B, T]`."""
        return mask

    @abstractmethod
    def stack(self) -> list[list]:
        """The layers that hold variables, in groups from bottom to top; None for one that it does not have."""

    def layer_groups(self) -> list[list]:
        """Trainable variables in groups from bottom (embedding, positions) to top, each variable once.

        A group whose layers are frozen is empty, so that the others keep their distance from the top.
        """
        groups = ([layer for layer in layers if layer is not None] for layers in self.stack())
        return [[v for layer in layers for v in layer.trainable_variables] for layers in groups]

    def output_weights(self) -> list:
        """The weights of an output table of its own, which a language model over it has; a classifier has none."""
        return []

    def frozen_weights(self) -> list:
        """The weights that its settings say are not trained: a run folder has them once, not in every checkpoint."""
        return []

    def merge_updates(self) -> None:
        """Makes low-rank updates, where its settings add them (`nlp_suite.layers.lora`), part of the weights they update.

        From then on its settings are those of a network without updates.
        """

    def initial_state(self, batch_size, memory=None) -> Never:
        """State before the first place: a tree of tensors with the batch in dim 0.

        Raises:
            ValueError: it is not causal.
        """
        raise self._not_causal()

    def step(self, x, state) -> Never:
        """One place of every row: features `[B, E]` and a state → features `[B, D]` and the new state. Has no dropout.

        Raises:
            ValueError: it is not causal.
        """
        raise self._not_causal()

    def read(self, x, length, state) -> Never:
        """The state after the first `length` int32 `[B]` places of features `[B, T, E]`, where `reads_prompts_at_once`.

        Raises:
            ValueError: it reads step by step only.
        """
        raise ValueError(f"backbone {type(self).__name__} reads step by step")

    def add_output(self) -> None:
        """Makes what a language model's output needs beside the embedding table, if anything; before it is built."""

    @property
    def output_table(self) -> Any:
        """The table `[V, E]` with whose rows a language model's tied output compares features."""
        return self.embedding.embeddings

    def _not_causal(self):
        return ValueError(
            f"backbone {type(self).__name__} with these settings is not causal: it has no step by step form"
        )

    def get_config(self):
        return {**super().get_config(), **self.settings}
