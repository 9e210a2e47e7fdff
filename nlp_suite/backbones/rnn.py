"""Simple recurrent network (Elman 1990), in one or both directions."""

import keras

from nlp_suite.backbones.recurrent import RecurrentBackbone
from nlp_suite.layers.simple_rnn import SimpleRNN
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.backbones import RecurrentSettings


@BACKBONES.register(RecurrentSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class RNNBackbone(RecurrentBackbone):
    __doc__ = RecurrentBackbone.__doc__
    layer_class = SimpleRNN
