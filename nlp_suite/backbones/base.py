"""What every backbone is: token ids to features, with one step protocol for the causal ones."""

import keras
from keras import ops
from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.layers.inline import apply
from nlp_suite.layers.type_dropout import TypeDropout
from nlp_suite.layers.word_dropout import WordDropout


class BackboneSettings(ComponentSettings):
    """Settings that every backbone has."""

    embedding_size: int = Field(128, ge=1, description="features E of a token embedding")
    word_dropout: float = Field(0.0, ge=0, lt=1, description="rate of tokens made unknown in training")
    type_dropout: float = Field(
        0.0, ge=0, lt=1, description="rate of word types dropped: rows of the embedding table, wherever they stand"
    )
    embedding_dropout: float = Field(
        0.0, ge=0, lt=1, description="rate of embedding features dropped, the same at every token of a row"
    )
    init_from: str | None = Field(
        None, description="run folder of a language model whose embeddings and backbone weights to start from"
    )

    def arguments(self):
        return {key: value for key, value in super().arguments().items() if key != "init_from"}


class Backbone(keras.layers.Layer):
    """Token ids `[B, T]` to features `[B, T', D]`.

    Padding is id 0, on the right; every row has at least one token. `output_mask` says which of the T' places count.
    A backbone with `causal` true also has `initial_state` and `step`: feeding a sequence one token at a time gives the
    same features as `call`.

    Args:
        vocabulary_size: number of token ids V.
        embedding_size: features E of a token embedding.
        word_dropout: rate of tokens made unknown in training, see `WordDropout`.
        type_dropout: rate of rows of the embedding table dropped in training, see `TypeDropout`.
        embedding_dropout: rate of embedding features dropped in training, the same ones at every token of a row: the
            variational dropout on the input of Merity et al. (2018).
    """

    bidirectional = False  # the second half of the features runs backwards
    causal = False
    keeps_places = True  # one feature vector a token, which a decoder may attend to
    embeddings_initializer = "uniform"

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
        self.embedding = self._table(vocabulary_size)
        self.drop_words = WordDropout(word_dropout)
        self.drop_types = TypeDropout(type_dropout, vocabulary_size, dtype=self.dtype_policy)
        self.drop_features = keras.layers.SpatialDropout1D(embedding_dropout, dtype=self.dtype_policy)

    def _table(self, rows):
        """An embedding table of the given number of rows."""
        initializer = keras.initializers.get(self.embeddings_initializer)
        return keras.layers.Embedding(rows, self.embedding_size, initializer, dtype=self.dtype_policy)

    def build(self, input_shape):
        if not self.embedding.built:
            self.embedding.build((None, None))
            self.build_encoder()

    def build_encoder(self):
        """Builds the layers above the embedding."""

    def embed(self, tokens):
        """Embeddings `[B, T, E]` of token ids `[B, T]`, with their dropout in training."""
        tokens = apply(self.drop_words, tokens)
        return self.drop_features(apply(self.drop_types, self.embedding(tokens), tokens))

    def output_mask(self, tokens):
        """Which places of the features count, bool `[B, T']`."""
        return ops.not_equal(tokens, 0)

    def stack(self):
        """The layers that hold variables, in groups from bottom to top."""
        return [[self.embedding]]

    def layer_groups(self) -> list[list]:
        """Trainable variables in groups from bottom (embedding, positions) to top, each variable once.

        A group whose layers are frozen is empty, so that the others keep their distance from the top.
        """
        return [[v for layer in layers for v in layer.trainable_variables] for layers in self.stack()]

    def initial_state(self, batch_size, memory=None):
        """State before the first token: a tree of tensors with the batch in dim 0. Raises where there is no causality."""
        raise ValueError(
            f"backbone {type(self).__name__} with these settings is not causal: it has no step by step form"
        )

    def get_config(self):
        return {**super().get_config(), **self.settings}
