"""Simple (Elman 1990) recurrent layers with attention, after Bahdanau, Luong or Nematus."""

import keras

from nlp_suite.backbones.decoders.recurrent import RecurrentDecoder
from nlp_suite.layers.simple_rnn import SimpleRNN
from nlp_suite.registry import DECODERS
from nlp_suite.settings.decoders import RecurrentDecoderSettings


@DECODERS.register(RecurrentDecoderSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class RNNDecoder(RecurrentDecoder):
    __doc__ = RecurrentDecoder.__doc__
    layer_class = SimpleRNN
