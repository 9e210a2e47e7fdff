"""A language model that starts from a pretrained folder: as it is, asked, trained on, exported; and under a classifier."""

import json
import re

import keras
import numpy as np
import pytest
from keras import ops
from rich.console import Console

from nlp_suite.config import load_experiment
from nlp_suite.data.remarks import remarks_on_settings
from nlp_suite.errors import ConfigError, RequestError, RunError
from nlp_suite.export.load import load
from nlp_suite.export.run_export import run_export
from nlp_suite.pretrained.architecture import architecture_of
from nlp_suite.pretrained.folder import open_folder
from nlp_suite.registry import BACKBONES
from nlp_suite.tasks.language_model.predictor import LanguageModelPredictor
from nlp_suite.text.text_layer import END, START
from nlp_suite.training.backbone_start import open_backbone
from nlp_suite.training.checks import check_average, check_training
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.train import train
from tests.text.tokenizers.test_preset_causal import write

QUIET = Console(quiet=True)
LLAMA = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
TEXT = "The film was good.\n\nThe cast was great!  A great film;\nthe plot was not.\n"
PROMPTS = ["The film", "", "A great film;\n the", "12 films  "]


def write_model(path, label="smollm2", without=(), **config):
    """A folder with random weights and a small tokenizer."""
    from safetensors.numpy import save_file

    write(path, label, **{**LLAMA, **config})
    architecture, random = architecture_of(open_folder(str(path))), np.random.default_rng(0)
    tensors = {}
    for module, name in architecture.module_names().items():
        for kind in architecture.weight_kinds(module):
            shape = architecture.module_shapes()[module]
            shape = shape if kind == "weight" else (shape[architecture.output_axis],)
            if module not in without:
                full = name if module == "head" else architecture.prefix + name
                tensors[f"{full}.{kind}"] = random.normal(0, 0.3, shape).astype("float32")
    save_file(tensors, str(path / "model.safetensors"))
    (path / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "llama")


def chosen(folder, place, *overrides, **training):
    place.mkdir(parents=True, exist_ok=True)
    (place / "text.txt").write_text(TEXT)
    paths = dict.fromkeys(("train", "validation", "test"), str(place / "text.txt"))
    sizes = {"window": 24, "max_prompt": 16, "max_generated": 12, "max_scored": 48, "evaluation_batch_size": 2}
    values = {
        "task": {"name": "language_model", **sizes},
        "data": {"source": {"name": "text", "documents": "file", **paths}, "cache": str(place / "cache")},
        "text": {"tokenizer": "preset"},
        "backbone": {"name": "preset", "init_from": str(folder)},
        "training": {"epochs": 0, "batch_size": 2, "tensorboard": False, **training},
    }
    return load_experiment(values, overrides)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("causal")
    return train(chosen(folder, place, ema=0.5), place / "run", console=QUIET)  # an average of nothing changes nothing


@pytest.fixture(scope="module")
def predictor(run):
    return load(run.directory)


def log_probs_after(predictor, ids):
    """Log-probabilities `[V]` of what follows some ids, by the whole network."""
    return ops.convert_to_numpy(predictor.model(np.array([ids], "int32")))[0, -1]


def test_without_training_it_is_the_pretrained_model(folder, run):
    from safetensors.numpy import load_file

    assert run.info["best"]["round"] is None and not run.history and run.info["pretrained"]["licence"] == "apache-2.0"
    theirs, model, ids = load_file(folder / "model.safetensors"), run.model(), run.text.tokenizer.model_ids
    for table, name in ((model.backbone.embedding, "model.embed_tokens"), (model.backbone.head, "lm_head")):
        ours = ops.convert_to_numpy(table.embeddings)
        np.testing.assert_array_equal(ours[ids >= 0], theirs[f"{name}.weight"][ids[ids >= 0]])
    assert len(ids) > len(theirs["lm_head.weight"])  # PAD, UNKNOWN and others that the model does not have
    first = run.text.encode(["The film"])[0]
    probabilities = np.exp(ops.convert_to_numpy(model(first[None])))[0, -1]
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)
    assert not probabilities[run.text.tokenizer.no_output].any()


def test_a_text_is_one_row_with_its_line_breaks(run, predictor):
    store = run.stores()["test"]
    assert len(store) == 1 and predictor.decode(np.asarray(store.flat())) == TEXT.removesuffix("\n")
    assert store.flat()[-1] == END and (np.asarray(store.flat()) == END).sum() == 1
    statistics = run.info["statistics"]["test"]
    lines = TEXT.removesuffix("\n").split("\n")
    assert statistics["words"] == sum(len(line.split()) + 1 for line in lines)
    assert statistics["characters"] == len(TEXT)


def test_the_perplexity_is_that_of_the_text_after_what_begins_a_document(run, predictor):
    report = evaluate(run, "test", baseline=False)
    (score,) = predictor.score([TEXT.removesuffix("\n")])
    ids = [START, *predictor.encode([TEXT.removesuffix("\n")])[0]]
    expected = [log_probs_after(predictor, ids[:n])[ids[n]] for n in range(1, min(len(ids), 24))]
    np.testing.assert_allclose(score["token_log_probs"][: len(expected)], expected, atol=2e-5)
    np.testing.assert_allclose(report["nll"], -score["log_prob"], rtol=1e-5)
    assert report["perplexity_per_token"] == pytest.approx(score["perplexity"], rel=1e-5)


def test_a_batch_has_as_many_rows_as_there_are_windows(predictor, monkeypatch):
    shapes, nll = [], predictor._nll
    monkeypatch.setattr(predictor, "_nll", lambda tokens, targets: shapes.append(tokens.shape) or nll(tokens, targets))
    wide = predictor.settings.model_copy(update={"evaluation_batch_size": 99})
    for settings in (predictor.settings, wide):  # as many as `evaluation_batch_size` allows
        monkeypatch.setattr(predictor, "settings", settings)
        for count in (1, 3, 5, 17):
            predictor.score(["The film"] * count)
    assert [rows for rows, _ in shapes] == [1, 2, 2, *[2] * 3, *[2] * 9, 1, 4, 16, 16, 16]


@pytest.mark.slow
def test_every_window_begins_with_what_all_of_the_models_texts_do(tmp_path, monkeypatch):
    import tensorflow as tf

    from nlp_suite.tasks.language_model.signatures import LanguageModelSignatures

    run = train(
        chosen(write_model(tmp_path / "llama3", "llama3"), tmp_path, "task.window=12", "task.evaluation_context=5"),
        tmp_path / "run",
        console=QUIET,
    )
    predictor, text = load(run.directory), TEXT.removesuffix("\n")
    ids = list(predictor.encode([text])[0])
    expected = [log_probs_after(predictor, [START, *ids[:n]])[ids[n]] for n in range(12)]
    for n in range(12, len(ids)):  # the windows begin 7 ids apart, and predict the last 7 of their 12
        expected.append(log_probs_after(predictor, [START, *ids[(n - 5) // 7 * 7 : n]])[ids[n]])
    (score,) = predictor.score([text])
    np.testing.assert_allclose(score["token_log_probs"], expected, atol=2e-5)
    assert evaluate(run, "test", baseline=False)["nll"] == pytest.approx(-sum(expected), rel=1e-5)
    signatures, shapes, nll = LanguageModelSignatures(predictor.model, predictor), [], predictor.model.nll
    monkeypatch.setattr(predictor.model, "nll", lambda *rows: shapes.append(rows[0].shape.as_list()) or nll(*rows))
    in_graph = signatures.score(tf.constant([text, "a"]))
    np.testing.assert_allclose(in_graph["token_log_probs"][0], expected, atol=2e-5)
    windows = 1 + -((12 - len(ids)) // 7)
    assert windows > 3 and shapes == [[2, 12]] * windows, "two rows of as many windows, two at a time"


def test_a_prompt_begins_with_nothing_where_the_models_own_texts_do(predictor):
    answers = predictor.generate(PROMPTS, max_tokens=6, temperature=0.0)
    for prompt, answer in zip(PROMPTS, answers):
        ids = list(predictor.encode_prompts([prompt])[0]) or [START]
        total = 0.0
        for _ in range(answer["length"]):
            log_probs = log_probs_after(predictor, ids)
            ids.append(int(np.argmax(np.where(np.arange(len(log_probs)) < END, -np.inf, log_probs))))
            total += log_probs[ids[-1]]
        assert answer["text"] == predictor.continuation(ids[: -answer["length"]], ids[-answer["length"] :])
        assert answer["log_prob"] == pytest.approx(total, abs=1e-3)


@pytest.mark.slow
def test_the_next_token_is_that_which_is_written(run):
    prompt = TEXT.replace("\n", " ")[:120]  # more tokens than a window has
    settings, model = run.experiment.task.model_copy(update={"max_prompt": 48}), run.model()
    long = LanguageModelPredictor(model, run.text, settings, stop_at_end=True)
    assert len(long.encode_prompts([prompt])[0]) > settings.window
    ((token, _),) = long.next_tokens([prompt], 1)[0]
    (answer,) = long.generate([prompt], max_tokens=1, temperature=0.0)
    assert token.replace("Ġ", " ").replace("▁", " ") == answer["text"] or not answer["length"]
    bias = ops.convert_to_numpy(model.softmax.bias).copy()
    bias[run.text.tokenizer.without_piece] = 20
    model.softmax.bias.assign(bias)
    assert long.next_tokens([prompt], 2)[0][1][0].startswith("[no▁piece")
    assert long.generate([prompt], max_tokens=1, temperature=0.0)[0]["text"] == answer["text"], "none is written"


def test_it_has_no_checkpoint_intervals_to_average(run):
    with pytest.raises(RunError, match=r"was not trained \(training.epochs: 0\): it has no checkpoint intervals"):
        check_average(run, 1, None)


CHAT = [{"role": "user", "content": "The film<|im_end|>"}]


@pytest.mark.slow
def test_a_chat_is_answered_up_to_the_end_of_the_turn(predictor, monkeypatch):
    pytest.importorskip("jinja2")
    from nlp_suite.tasks.language_model.output import chats, write_generated

    settings = {"max_tokens": 6, "temperature": 0.0}
    monkeypatch.setattr(predictor, "_max_prompt", 48)
    (row,) = predictor.encode_chats([CHAT])
    template, ids, total = predictor.text.tokenizer.chat, row.tolist(), 0.0
    assert [i for i in ids if i in template.tokens.values()] == [
        template.tokens[f"<|im_{n}|>"] for n in ("start", "end", "start")
    ]
    (answer,) = predictor.generate(chat=CHAT, **settings)
    for _ in range(answer["length"]):
        log_probs = log_probs_after(predictor, ids)
        ids.append(int(np.argmax(np.where(np.arange(len(log_probs)) < END, -np.inf, log_probs))))
        total += log_probs[ids[-1]]
    assert answer["log_prob"] == pytest.approx(total, abs=1e-3)
    assert [answer["text"]] * 2 == [a["text"] for a in predictor.generate(chat=[CHAT] * 2, **settings)]
    assert answer["text"] == "".join(predictor.stream(chat=CHAT, **settings))
    third = ids[len(row) + 2]  # as if the template put this behind an answer
    monkeypatch.setitem(template.__dict__, "turn_end", third)
    (ended,) = predictor.generate(chat=CHAT, **settings)
    assert ended["length"] == 3 and answer["text"].startswith(ended["text"]) and ended["text"] != answer["text"]
    assert ended["text"] == "".join(predictor.stream(chat=CHAT, **settings))
    monkeypatch.setattr("nlp_suite.tasks.language_model.output.open_model", lambda *_: predictor)
    printed = []
    monkeypatch.setattr("builtins.print", lambda *text, **_: printed.append("".join(text)))
    write_generated(None, chats([CHAT[0]["content"]], None), 1, False, True, max_tokens=6)
    assert "".join(printed) == ended["text"]


def test_a_chat_that_cannot_be_is_refused(predictor, monkeypatch):
    pytest.importorskip("jinja2")
    with pytest.raises(RequestError, match="there are prompts and a chat"):
        predictor.generate(["a"], chat=CHAT)
    with pytest.raises(RequestError, match=r"more tokens than task.max_prompt 16: leave its oldest"):
        predictor.generate(chat=CHAT)
    monkeypatch.setitem(predictor.text.tokenizer._trained.rules, "add_prefix_space", True)
    with pytest.raises(RequestError, match="puts a space before a text"):
        predictor.generate(chat=CHAT)
    monkeypatch.setattr(predictor.text.tokenizer, "chat", None)
    with pytest.raises(RequestError, match="this model has no chat template"):
        predictor.generate(chat=CHAT)


def test_beams_streams_and_stop_strings_agree(predictor):
    assert (
        "".join(predictor.stream(PROMPTS[0], max_tokens=6, seed=3))
        == (predictor.generate(PROMPTS[:1], max_tokens=6, seed=3)[0]["text"])
    )
    size, never = 5, list(predictor.never_generated)
    best = predictor.generate(PROMPTS, max_tokens=2, beam_size=size)
    for prompt, answer in zip(PROMPTS, best):
        ids = list(predictor.encode_prompts([prompt])[0]) or [START]
        first = log_probs_after(predictor, ids)
        first[never] = -np.inf
        kept = np.argsort(-first)[:size]  # those after which the search looks on
        second = ops.convert_to_numpy(predictor.model(np.array([[*ids, token] for token in kept], "int32")))[:, -1]
        totals = first[kept][:, None] + second  # [K, V]
        totals[:, never], totals[kept == END] = -np.inf, first[END]  # where it ends at once
        assert answer["log_prob"] == pytest.approx(totals.max(), abs=1e-4)
    scored = predictor.generate(PROMPTS, max_tokens=2, beam_size=size, stop=["no such thing"])
    assert [s["log_prob"] for s in scored] == pytest.approx([b["log_prob"] for b in best], abs=1e-4)


@pytest.mark.slow
def test_training_goes_on_from_the_models_weights(folder, run, tmp_path):
    changes = ("backbone.freeze=1", "training.precision=mixed_bfloat16", "training.epochs=1")
    trained_as = set()

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            backbone = self.model.backbone
            trained_as.update((backbone.blocks[0].compute_dtype, backbone.norm.compute_dtype))
            trained_as.update(weight.dtype for weight in backbone.weights)

    trained = train(chosen(folder, tmp_path, *changes), tmp_path / "run", console=QUIET, callbacks=[Watch()])
    assert trained_as == {"bfloat16", "float32"}, "computed in the one, kept in the other"
    before, after = run.model().backbone, trained.model().backbone
    changed = {
        name: any(np.abs(a - b).max() > 0 for a, b in zip(layer.get_weights(), after.modules()[name].get_weights()))
        for name, layer in before.modules().items()
    }
    assert not changed.pop("tokens") and all(changed.values())
    bias = ops.convert_to_numpy(trained.model().softmax.bias)
    assert set(np.unique(bias)) == {np.float32(-1e9), np.float32(0)}


@pytest.mark.slow
def test_the_export_answers_as_python_does(run, tmp_path):
    predictor = load(run.directory)
    exported = load(run_export(run.directory, tmp_path / "saved").path)
    options = {"max_tokens": 8, "temperature": 0.0}
    for ours, theirs in zip(exported.generate(PROMPTS, **options), predictor.generate(PROMPTS, **options), strict=True):
        assert ours["text"] == theirs["text"] and ours["log_prob"] == pytest.approx(theirs["log_prob"], abs=1e-4)
    for alone, prompt in zip(exported.generate(PROMPTS, **options), PROMPTS):
        (answer,) = exported.generate([prompt], **options)
        assert answer["text"] == alone["text"]
    texts = [TEXT, "a", "", "two\n\n\nlines\n"]
    for ours, theirs in zip(exported.score(texts), predictor.score(texts), strict=True):
        assert ours["tokens"] == theirs["tokens"]
        np.testing.assert_allclose(ours["token_log_probs"], theirs["token_log_probs"], atol=1e-4)


@pytest.mark.slow
def test_it_is_a_classifiers_backbone_too(folder, tmp_path):
    whole = write_model(tmp_path / "headless", without=("head",))
    values = {
        "task": {"name": "sentiment", "pooling": "last"},
        "data": {"source": {"name": "sample", "size": 60, "test": 20}, "cache": str(tmp_path / "cache")},
        "text": {"tokenizer": "preset", "max_length": 24},
        "backbone": {"name": "preset", "init_from": str(whole), "freeze": "all"},
        "training": {"epochs": 1, "batch_size": 32, "tensorboard": False},
    }
    run = train(load_experiment(values), tmp_path / "run", console=QUIET)
    texts = ["A good film", "Not a good film at all, and much longer than the other"]
    together = load(run.directory).predict(texts)
    for text, answer in zip(texts, together):
        assert load(run.directory).predict([text])[0]["probability"] == pytest.approx(answer["probability"], abs=1e-5)
    values["task"], values["text"] = (
        {"name": "language_model", "window": 24, "max_prompt": 8, "max_generated": 8},
        {"tokenizer": "preset"},
    )
    values["backbone"]["freeze"] = 0
    with pytest.raises(ConfigError, match=r"1 of 21 weights of a llama model are missing: lm_head.weight"):
        check_training(load_experiment(values), tmp_path / "other")


def test_a_classifier_starts_from_a_language_model_with_an_output_of_its_own(run, tmp_path):
    values = {
        "data": {"source": {"name": "sample"}, "cache": str(tmp_path)},
        "text": {"tokenizer": "preset", "max_length": 24},
        "backbone": {"name": "preset", "init_from": str(run.directory)},
    }
    settings = load_experiment(values).backbone
    backbone = BACKBONES.get("preset")(vocabulary_size=run.text.vocabulary_size, **settings.arguments())
    backbone.build((None, None))
    assert open_backbone(load_experiment(values)).copy_to(backbone) == f"backbone: 20 arrays of {run.directory}"
    for ours, theirs in zip(backbone.weights, run.model().backbone.weights):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["task.window=65"], r"task.window 65: backbone preset has positions for 64 tokens; lower task.window"),
        (
            ["task.max_prompt=60"],
            r"task.max_prompt 60 \+ task.max_generated 12: .* lower task.max_prompt or task.max_gen",
        ),
        (["task.tie_embeddings=false"], r"an output of its own: leave task.tie_embeddings: true"),
        (["task.softmax=adaptive"], r"an output of its own: leave .* task.softmax: full"),
        (["backbone.freeze=all", "training.epochs=1"], r"freeze: all leaves nothing to train.* training.epochs: 0"),
        (["text.tokenizer=word", "text.lowercase=false"], r"text.tokenizer is word, under which the embeddings of"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_training(folder, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_training(chosen(folder, tmp_path, *overrides), tmp_path / "run")


@pytest.mark.parametrize(
    "window, said", [(35, ["task.window is 35, the default.* up to 64 tokens.* task.window: 64"]), (36, [])]
)
def test_a_window_that_was_left_at_its_default_is_remarked(folder, tmp_path, window, said):
    remarks = remarks_on_settings(chosen(folder, tmp_path, f"task.window={window}"), [])
    assert [bool(re.search(pattern, remark)) for pattern, remark in zip(said, remarks, strict=True)] == [True] * len(
        said
    )


def test_an_encoder_is_no_language_model(tmp_path):
    from tests.pretrained.encoders import write_bert

    experiment = chosen(write_bert(tmp_path / "bert"), tmp_path)
    with pytest.raises(ConfigError, match=r"backbone 'preset of a bert model' is not causal; a language model takes: "):
        check_training(experiment, tmp_path / "run")


def test_half_of_the_weights_and_other_shapes_are_named(folder, tmp_path):
    import shutil

    half = write_model(tmp_path / "half", without=[f"block 1 {name}" for name in ("query", "gate", "norm")])
    with pytest.raises(ConfigError, match=r"3 of 21 weights of a llama model are missing: layers.1.self_attn.q_proj"):
        check_training(chosen(half, tmp_path), tmp_path / "run")
    other = shutil.copytree(folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "intermediate_size": 25}))
    with pytest.raises(
        ConfigError, match=r"other shapes than config.json says: model.layers.0.mlp.gate_proj.weight has"
    ):
        check_training(chosen(other, tmp_path), tmp_path / "run")
