"""Small pretrained tokenizers of every kind, as folders in the layouts in which models are published, and their oracles."""

import functools
import io
import json

import pytest

from nlp_suite.pretrained.folder import open_folder
from nlp_suite.text.tokenizers.preset import PresetTokenizer

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ALBERT = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
FAMILIES = {  # label → model_type of config.json
    "uncased": "bert",
    "cased": "bert",
    "byte_bpe": "roberta",
    "xlm_roberta": "xlm-roberta",
    "albert": "albert",
}
TEXTS = [
    "The film was not good, but the cast was great!",
    "I don't like it.<br /><br />It isn't a good film at all...",
    "A great film; the actors' work is unforgettable (10/10).  1,000 of 2,000, 3 of 7.",
    "Unwatchable. Unbelievable. Unforgettably bad acting and a bad plot",
    "Der Film war über alle Maßen gut, die Straße nicht; déjà vu, naïve résumé",
    "电影很好看 映画です 한국어 ภาษาไทย",
    "emoji 👍 and ❤️ and 👩‍👩‍👧 ``quoted''",
    "if x:\n        return  1\r\n\tpass",
] * 3


@functools.cache  # two trainings on the same texts may differ
def oracle(label):
    """The tokenizer as Hugging Face's tokenizers make and run it; a special token in a text is ordinary text."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = {"byte_bpe": _bytes, "xlm_roberta": _xlm_roberta, "albert": _albert}.get(label, _bert)(label)
    special = BERT if label in ("uncased", "cased") else ALBERT if label == "albert" else ROBERTA
    tokenizer.add_special_tokens(special)
    start, end = ("[CLS]", "[SEP]") if "[CLS]" in special else ("<s>", "</s>")
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(name, tokenizer.token_to_id(name)) for name in (start, end)]
    )
    tokenizer.encode_special_tokens = True
    return tokenizer


def _bert(label):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=label == "uncased")
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=BERT, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def _bytes(label):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=ROBERTA, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def sentencepiece_model(label):
    """A unigram model with the special tokens in the order in which the family has them."""
    import sentencepiece

    model = io.BytesIO()
    special = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]", "[MASK]"]}
    fairseq = {"pad_id": -1, "unk_id": 0, "bos_id": 1, "eos_id": 2}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=model,
        vocab_size=220,
        hard_vocab_limit=False,
        minloglevel=2,
        **(special if label == "albert" else fairseq),
    )
    return model.getvalue()


def _unigram(label, vocabulary, unknown, steps=()):
    """What the converters of transformers make of a SentencePiece model."""
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    proto = sentencepiece_model_pb2.ModelProto.FromString(sentencepiece_model(label))
    pieces = vocabulary([(piece.piece, piece.score) for piece in proto.pieces])
    tokenizer = Tokenizer(models.Unigram(pieces, unknown, False))
    charsmap = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([*steps, charsmap, spaces])
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    return tokenizer


def _xlm_roberta(label):
    def in_fairseqs_order(scored):
        return [(name, 0.0) for name in ROBERTA[:4]] + scored[3:] + [("<mask>", 0.0)]

    return _unigram(label, in_fairseqs_order, 3)


def _albert(label):
    from tokenizers import normalizers

    def with_commas_apart(scored):
        return [(p, s - 100 if len(p) > 1 and p[-1] == "," and p[-2].isdigit() else s) for p, s in scored]

    quotes = [normalizers.Replace(mark, '"') for mark in ("``", "''")]
    steps = [*quotes, normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    return _unigram(label, with_commas_apart, 1, steps)


def write_folder(path, label, form="tokenizer.json"):
    """A folder with config.json and a tokenizer: `tokenizer.json`, the `older` files, or in the layout of `kerashub`."""
    path.mkdir(parents=True, exist_ok=True)
    tokenizer = oracle(label)
    config = {"model_type": FAMILIES[label]}
    if form == "tokenizer.json":
        tokenizer.save(str(path / "tokenizer.json"))
    else:
        files = {"vocab.txt": "vocabulary.txt", "vocab.json": "vocabulary.json", "merges.txt": "merges.txt"}
        files |= {"sentencepiece.bpe.model": "vocabulary.spm", "spiece.model": "vocabulary.spm"}
        target = path / "assets" / "tokenizer" if form == "kerashub" else path
        target.mkdir(parents=True, exist_ok=True)
        for name, content in _older_files(label, tokenizer).items():
            (target / (files[name] if form == "kerashub" else name)).write_bytes(content)
        settings = {"lowercase": label == "uncased"} if label in ("uncased", "cased") else {}
        if form == "kerashub":
            classes = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "albert": "Albert"}
            config = {"class_name": f"{classes[FAMILIES[label]]}Backbone", "config": {}}
            (path / "tokenizer.json").write_text(json.dumps({"class_name": "Tokenizer", "config": settings}))
        else:
            (path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": label != "cased"}))
    (path / "config.json").write_text(json.dumps(config))
    return path


def _older_files(label, tokenizer):
    if label in ("xlm_roberta", "albert"):
        return {"spiece.model" if label == "albert" else "sentencepiece.bpe.model": sentencepiece_model(label)}
    vocabulary = tokenizer.get_vocab()
    if label == "byte_bpe":
        merges = json.loads(tokenizer.to_str())["model"]["merges"]
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
        return {"vocab.json": json.dumps(vocabulary).encode(), "merges.txt": "\n".join(lines).encode()}
    return {"vocab.txt": "".join(f"{piece}\n" for piece in sorted(vocabulary, key=vocabulary.get)).encode()}


def preset_tokenizer(path, label, form="tokenizer.json"):
    """Our tokenizer of such a folder."""
    return PresetTokenizer.of_folder(open_folder(str(write_folder(path, label, form))))
