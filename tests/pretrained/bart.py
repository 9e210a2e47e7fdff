"""The small BART that was recorded, as a model of translation."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np

from nlp_suite.pretrained.architecture import architecture_of
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.registry import BACKBONES, DECODERS
from nlp_suite.tasks.translation.network import TranslationModel
from nlp_suite.training.preset_start import copy_weights, decoder_weights, find

FIXTURE = Path(__file__).parents[1] / "fixtures" / "bart"
BEAMS, LIMIT = 3, 6
ORDER = np.array([1, 3, 0, 2, *range(4, 40)])  # the model's id of each of ours


def our_ids(ids):
    """The ids of a model's tokens in our vocabulary."""
    ours = np.zeros(40, "int32")
    ours[ORDER] = np.arange(40)
    return ours[np.asarray(ids)]


def translation_model(folder=FIXTURE, **settings):
    """The model of a folder with its weights."""
    opened = open_folder(str(folder))
    whole = architecture_of(opened)
    keras.utils.set_random_seed(1)
    fields = whole.model_dump(mode="json")
    backbone = BACKBONES.get("preset")(len(ORDER), fields, **settings)
    model = TranslationModel(backbone, DECODERS.get("preset")(architecture=fields, **settings), tie_embeddings="all")
    model.build((None, None))
    copied = copy_weights(backbone, find(opened, whole)(), ORDER)
    copied += model.decoder.take(decoder_weights(opened, whole))
    return model, copied


def write_bart(path):
    """The first block of both recorded halves, with a tokenizer and embeddings of its vocabulary."""
    from tests.text.preset_folders import ROBERTA, oracle

    tokenizer = oracle("byte_bpe")
    shutil.copytree(FIXTURE, path)
    tokenizer.save(str(path / "tokenizer.json"))
    names = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    }
    assert set(names.values()) == set(ROBERTA)
    (path / "tokenizer_config.json").write_text(json.dumps({**names, "cls_token": "<s>", "sep_token": "</s>"}))
    _widen(path, tokenizer.get_vocab_size())
    return path


def _widen(path, size):
    """The table of as many tokens as the tokenizer has."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(path / "model.safetensors")
    draw = np.random.default_rng(0).normal(0, 0.4, (size, 16)).astype("float32")
    save_file(
        {**tensors, "model.shared.weight": draw, "final_logits_bias": np.zeros((1, size), "float32")},
        path / "model.safetensors",
    )
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(
        json.dumps({**config, "vocab_size": size, "encoder_layers": 1, "decoder_layers": 1})
    )
