"""Small causal models that were recorded, and a language model of any of them."""

from pathlib import Path

import keras
import numpy as np

from nlp_suite.pretrained.architecture import architecture_of
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.registry import BACKBONES
from nlp_suite.tasks.language_model.network import LanguageModel
from nlp_suite.training.preset_start import copy_weights, find

FIXTURES = Path(__file__).parents[1] / "fixtures" / "decoders"
FAMILIES = ("gemma", "gpt2", "llama", "qwen2")
PROMPTS = ([9, 30, 11, 25, 17, 8, 12], [31, 10, 14], [22])
GENERATED = 8
END = 6  # the model's
ORDER = np.array(
    [-1, -1, END, END, *(i for i in range(40) if i != END)]
)  # the model's id of each of ours: START is END


def our_ids(ids):
    """The ids of a model's tokens in our vocabulary."""
    ours = np.zeros(40, "int32")
    ours[ORDER[3:]] = np.arange(3, len(ORDER))
    return ours[np.asarray(ids)]


def language_model(folder, without_head=False, **settings):
    """The language model of a folder with its weights."""
    folder = open_folder(str(folder))
    architecture = architecture_of(folder)
    keras.utils.set_random_seed(1)
    backbone = BACKBONES.get("preset")(len(ORDER), architecture.model_dump(mode="json"), **settings)
    model = LanguageModel(backbone)
    model.build((None, None))
    assert copy_weights(backbone, find(folder, architecture)(), ORDER) == len(backbone.weights)
    model.never_write((ORDER < 0) | (np.arange(len(ORDER)) == 2))
    return model


def recorded(family):
    """Ids and lengths of rows, log-probabilities, and what was written after `PROMPTS`, in our ids."""
    arrays = np.load(FIXTURES / family / "logits.npz")
    mask = np.arange(arrays["ids"].shape[1]) < arrays["lengths"][:, None]
    logits = arrays["logits"].astype("float64")
    log_probs = (
        logits
        - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
        - logits.max(-1, keepdims=True)
    )
    return np.where(mask, our_ids(arrays["ids"]), 0), mask, log_probs, our_ids(arrays["written"])
