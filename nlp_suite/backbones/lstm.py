"""Long short-term memory (Hochreiter & Schmidhuber 1997), in one or both directions."""

import keras

from nlp_suite.backbones.recurrent import RecurrentBackbone
from nlp_suite.layers.lstm import LSTM
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.backbones import RecurrentSettings


@BACKBONES.register(RecurrentSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class LSTMBackbone(RecurrentBackbone):
    __doc__ = RecurrentBackbone.__doc__
    layer_class = LSTM
