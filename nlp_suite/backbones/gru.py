"""Gated recurrent units (Cho et al. 2014), in one or both directions."""

import keras

from nlp_suite.backbones.recurrent import RecurrentBackbone
from nlp_suite.layers.gru import GRU
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.backbones import RecurrentSettings


@BACKBONES.register(RecurrentSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class GRUBackbone(RecurrentBackbone):
    __doc__ = RecurrentBackbone.__doc__
    layer_class = GRU
