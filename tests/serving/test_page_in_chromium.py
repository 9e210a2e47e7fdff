"""The page in Chromium, on exports of all three tasks and on another SavedModel."""

import json
import re
import shutil
import subprocess
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from nlp_suite.export.serving_hints import FILE as HINTS
from nlp_suite.export.serving_hints import ServingHints
from nlp_suite.export.staging import RECORD
from nlp_suite.serving.flags import Options
from tests.serving import chromium
from tests.serving.chromium import CONTRAST, ask, check_clean, deep, texts

pytestmark = pytest.mark.slow

HOSTILE = (
    '<img src=x onerror="document.title=\'owned\'"> it\'s & "great" \u202etxt \\u0041 👍\n</textarea><script>1</script>'
)
TOKENS = [
    "▁in",
    "in",
    "▁",
    " ",
    "\n",
    "\t",
    "</s>",
    "<unk>",
    "[MASK]",
    "<0x41>",
    "<0xE2>",
    "",
    "a\u200bb",
    "\u200d",
    "a\u200db",
]
TOKENS += [
    "\u0301a",
    "e\u0301",
    "x" * 90,
    "▁" + "y" * 79,
    "\u00a0",
    "##ing",
    "日本",
    "\x07",
    "<b>",
    "constructor",
    "👍",
]


@pytest.fixture(scope="module")
def server(exports, tmp_path_factory):
    """An endpoint with an export of each task, one that names no form, one that names `any`, one with a broken version,
    and two versions of another SavedModel."""
    if not chromium.BINARY:
        pytest.skip("there is no Chromium on this machine")
    import tensorflow as tf

    from nlp_suite.serving.server import Server
    from tests.serving.endpoint import free_port, model_list

    folder, all_versions = tmp_path_factory.mktemp("page"), "model_version_policy { all {} }"
    tasks = {"sentiment": "sentiment", "language": "language_model", "translation": "translation"}
    models = {name: (exports(task), all_versions) for name, task in tasks.items()}
    models["times"] = (folder / "times", all_versions)
    for name in ("unnamed", "plain"):
        copied = shutil.copytree(exports("sentiment"), folder / name) / "1"
        (copied / HINTS).unlink() if name == "unnamed" else ServingHints(page_form="any").write(copied)
        (copied / RECORD).unlink()  # of what the files held before
        models[name] = (folder / name, all_versions)
    models["broken"] = (shutil.copytree(exports("sentiment"), folder / "broken"), all_versions)
    (folder / "broken" / "2").mkdir()
    (folder / "broken" / "2" / "saved_model.pb").write_bytes(b"none")
    for version in (1, 2):
        module = tf.Module()
        module.f = tf.function(
            lambda x, by=version: {"y": x * by}, input_signature=[tf.TensorSpec([None, 1], name="x")]
        )
        tf.saved_model.save(module, str(folder / f"times/{version}"), signatures={"serving_default": module.f})
    (folder / "models.config").write_text(model_list(models))
    port = free_port()
    flags = {"model_config_file": str(folder / "models.config"), "max_num_load_retries": 0}
    with Server(Options(rest_api_port=port, port=0, host="127.0.0.1", **flags)):
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def tab(server):
    with chromium.Tab() as tab:
        tab.look(1200, dark=False)
        yield tab


@pytest.fixture(autouse=True)
def clean(tab, server):
    """After each test: nothing was refused or raised, nothing asked of another host, nothing wider than the screen."""
    yield
    check_clean(tab, server)


def test_a_review_gets_bars_words_latency_and_a_curl_line_that_works(tab, server):
    deep(tab, server, model="sentiment", text=HOSTILE)
    (row,) = ask(server, "sentiment", instances=[HOSTILE])["predictions"]
    best = max(range(2), key=lambda i: row["probabilities"][i])
    assert texts(tab, ".headline") == [row["label"]]
    assert texts(tab, ".bars .number")[0] == f"{100 * row['probabilities'][best]:.1f} %"
    assert tab.run("document.querySelector('textarea').value") == HOSTILE
    assert re.fullmatch(r"[\d.,]+ ms", texts(tab, ".head .facts dd")[2])
    assert texts(tab, ".head .facts dd")[:2] == ["AVAILABLE", "1"]
    line = texts(tab, "pre")[0]
    assert json.loads(subprocess.run(["sh", "-c", f"{line} -s"], capture_output=True, timeout=60).stdout)[
        "predictions"
    ] == [row]
    # text is nothing but text
    assert tab.run("document.images.length + document.querySelectorAll('main script').length") == 0
    assert "owned" not in tab.run("document.title")
    assert "".join(texts(tab, ".run")) == HOSTILE
    # each word's colour is what leaving it out does
    words = texts(tab, ".run .token")
    without = [HOSTILE.replace(word, "", 1) for word in words]
    shares = [each["probabilities"][best] for each in ask(server, "sentiment", instances=without)["predictions"]]
    effects = [row["probabilities"][best] - share for share in shares]
    once = [i for i, word in enumerate(words) if HOSTILE.count(word) == 1]
    shown = tab.run(
        "[...document.querySelectorAll('.run .token')].map((e) => Number(getComputedStyle(e).getPropertyValue('--w')))"
    )
    against = tab.run("[...document.querySelectorAll('.run .token')].map((e) => e.classList.contains('warm'))")
    most = max(0.01, *map(abs, effects))
    assert len(once) > 5 and max(shown) == 1
    for i in once:
        assert shown[i] == pytest.approx(min(1, abs(effects[i]) / most), abs=0.01), words[i]
        assert abs(effects[i]) < 1e-4 or against[i] == (effects[i] < 0)


def test_a_form_is_taken_by_the_signatures_where_the_export_names_none(tab, server):
    deep(tab, server, model="unnamed", text="dull")
    assert len(texts(tab, ".headline")) == 1 and texts(tab, ".switch label") == ["Text", "Nearest texts", "JSON"]
    tab.open(f"{server}#model=plain")
    tab.until("document.querySelector('form')")
    assert texts(tab, ".kind") == ["a SavedModel"] and texts(tab, ".switch label") == []


def test_ctrl_enter_sends_and_arrow_keys_go_through_the_words(tab, server):
    tab.open(f"{server}#model=sentiment")
    tab.until("document.querySelector('textarea')")
    tab.run("document.querySelector('textarea').focus()")
    tab.run("document.querySelector('textarea').select()")
    tab.call("Input.insertText", text="a dull plot")
    tab.key("Enter", 13, modifiers=2)
    tab.until("document.querySelectorAll('.run .token').length === 3")
    tab.run("document.querySelector('.run .token').focus()")
    assert texts(tab, ".readout")[0].startswith("\u2068a\u2069 without it: ")
    tab.key("ArrowRight", 39)
    assert tab.run("document.activeElement.textContent") == "dull"
    assert texts(tab, ".readout")[0].startswith("\u2068dull\u2069")
    tab.key("Tab", 9)
    assert tab.run("document.activeElement.matches('.run .token')") is False  # all words are one stop


def test_the_text_that_streams_in_is_that_of_one_request(tab, server):
    options = {
        "max_tokens": 30,
        "temperature": 0.7,
        "top_k": 9,
        "top_p": 0.95,
        "repetition_penalty": 1.2,
        "seed": 5,
        "stop": "",
    }
    whole = ask(server, "language", signature_name="generate", inputs=inputs_of("the cat", **options))
    before = len(tab.requests)
    deep(tab, server, model="language", text="the cat", **options)
    assert texts(tab, ".written") == whole["outputs"]["text"]
    assert texts(tab, ".answer .facts dd")[0] == str(whole["outputs"]["length"][0])
    asked = [url for url in tab.requests[before:] if url.endswith(":predict")]
    assert len(asked) >= 3  # it grew
    line = texts(tab, "pre")[0]
    assert json.loads(subprocess.run(["sh", "-c", f"{line} -s"], capture_output=True, timeout=60).stdout) == whole
    # and on from there
    tab.run(
        "[...document.querySelectorAll('.answer button')].find((e) => e.textContent.startsWith('Surprise')).click()"
    )
    tab.until("document.querySelector('.answer .legend')")
    assert tab.run("document.querySelector('textarea').value") == "the cat" + whole["outputs"]["text"][0]


def test_text_that_streams_in_can_be_stopped(tab, server):
    slow = {"offline": False, "latency": 150, "downloadThroughput": -1, "uploadThroughput": -1}
    tab.open(f"{server}#model=language&text=the&max_tokens=60&seed=5")
    tab.until("document.querySelector('textarea')")
    tab.call("Network.emulateNetworkConditions", **slow)
    tab.run("document.querySelector('form').requestSubmit()")
    tab.until("document.querySelector('.written')?.textContent")
    part = texts(tab, ".written")[0]
    tab.run("document.querySelector('textarea').focus()")
    tab.key("Escape", 27)
    tab.until("!document.querySelector('[aria-busy]')")
    asked = len(tab.requests)
    tab.run("new Promise((done) => setTimeout(done, 500))")
    tab.call("Network.emulateNetworkConditions", **{**slow, "latency": 0})
    assert texts(tab, ".written")[0].startswith(part)
    assert not [url for url in tab.requests[asked:] if url.endswith(":predict")]
    whole = ask(server, "language", signature_name="generate", inputs=inputs_of("the", max_tokens=60, seed=5))
    assert whole["outputs"]["text"][0].startswith(part) and whole["outputs"]["text"][0] != part


def inputs_of(prompt, **given):
    """The inputs of `generate`, with the page's defaults."""
    options = {
        "max_tokens": 50,
        "temperature": 0.8,
        "top_k": 0,
        "top_p": 1.0,
        "repetition_penalty": 1.0,
        "seed": 0,
        "stop": "",
    }
    return {"prompt": [prompt], **{name: [value] for name, value in (options | given).items()}}


def test_surprise_is_that_of_score_token_by_token(tab, server):
    from nlp_suite.tasks.shared.surprise import LEVELS

    text = "the cat sees\na zebra"
    deep(tab, server, model="language", mode="surprise", text=text)
    outputs = ask(server, "language", signature_name="score", inputs=[text])["outputs"]
    length = outputs["length"][0]
    depths = tab.run(
        "[...document.querySelectorAll('.run .token')].map((e) => Number(e.style.getPropertyValue('--w')))"
    )
    assert len(depths) == length
    for depth, log_prob in zip(depths, outputs["token_log_probs"][0]):
        level = sum(least <= -log_prob / 0.6931471805599453 for least in LEVELS)
        assert depth == pytest.approx((level / len(LEVELS)) ** 1.3, abs=1e-3)
    assert texts(tab, ".answer .facts dd")[3] == str(length)


def test_a_next_token_can_be_added_to_the_prompt(tab, server):
    deep(tab, server, model="language", mode="next", text="the cat")
    outputs = ask(server, "language", signature_name="next", inputs=["the cat"])["outputs"]
    assert texts(tab, ".bars .number")[0] == f"{100 * outputs['probabilities'][0][0]:.1f} %"
    first = outputs["tokens"][0].index(next(token for token in outputs["tokens"][0] if token.isalpha()))
    tab.run(f"document.querySelectorAll('.bars button')[{first}].click()")
    tab.until(f"document.querySelector('textarea').value === 'the cat {outputs['tokens'][0][first]}'")
    tab.until("document.querySelectorAll('.bars button').length")


def test_a_translation_shows_its_hypotheses_and_what_each_token_looked_at(tab, server):
    text = "the cat sees a dog ."
    deep(tab, server, model="translation", text=text)
    (row,) = ask(server, "translation", signature_name="translate_n_best", instances=[text])["predictions"]
    (seen,) = ask(server, "translation", signature_name="attention", instances=[text])["predictions"]
    assert texts(tab, ".best li > span") == [each or "(empty)" for each in row["translations"]]
    assert len(texts(tab, ".map tbody tr")) == seen["target_length"]
    depths = "[...document.querySelectorAll('.pair dd')[{}].querySelectorAll('.token')].map((e) => Number(e.style.getPropertyValue('--w')))"
    # by keyboard, the target's second token
    tab.run("document.querySelectorAll('.pair dd')[1].querySelectorAll('.token')[1].focus()")
    shown = tab.run(depths.format(0))
    weights = seen["weights"][1][: seen["source_length"]]
    assert shown == pytest.approx([w**0.8 if w >= 0.005 else 0 for w in weights], abs=1e-3)
    assert " looked at " in texts(tab, ".readout")[0]
    # by pointer, the source's first token
    place = tab.run("(({x, y}) => [x + 3, y + 5])(document.querySelector('.pair .token').getBoundingClientRect())")
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    shown = tab.run(depths.format(1))
    column = [weights[0] for weights in seen["weights"]][: seen["target_length"]]
    assert shown == pytest.approx([w**0.8 if w >= 0.005 else 0 for w in column], abs=1e-3)
    assert " was looked at by " in texts(tab, ".readout")[0]


def test_any_signature_is_asked_as_json_in_any_version_and_errors_are_the_servers(tab, server):
    deep(tab, server, model="times", **{"input:x": "[[21.0]]"})
    assert json.loads(texts(tab, ".answer pre")[0]) == {"outputs": [[42.0]]}
    deep(tab, server, model="times", version=1, **{"input:x": "[[21.0]]"})
    assert json.loads(texts(tab, ".answer pre")[0]) == {"outputs": [[21.0]]}
    assert texts(tab, ".head .facts dd")[1] == "1" and "/versions/1:predict" in texts(tab, "pre")[-1]
    deep(tab, server, model="times", **{"input:x": '[["<b>"]]'})
    assert texts(tab, ".answer .error") == ['400 JSON Value: "<b>" Type: String is not of expected type: float']
    deep(tab, server, model="sentiment", mode="json", signature="classify", **{"input:examples": '[{"text": "dull"}]'})
    assert "results" in json.loads(texts(tab, ".answer pre")[0])


@pytest.mark.parametrize(
    "given", [{"model": "nobody"}, {"model": "times", "version": 9}, {"model": "sentiment", "version": 9}]
)
def test_what_is_not_there_is_said_beside_the_error(tab, server, given):
    tab.open(f"{server}#{urlencode(given)}")
    tab.until("document.querySelector('.error')")
    named = given["model"] if "version" not in given else f"Specific({given['model']}, 9)"
    assert named in texts(tab, ".error")[0]
    assert texts(tab, ".head .facts dd")[:2] == ["not there", str(given.get("version", "–"))]
    assert tab.run("document.querySelector('.state').className") == "state bad"
    if "version" in given:  # the way back
        assert tab.run("document.querySelector('select').value") == "9"
        tab.run("(e => { e.value = ''; e.dispatchEvent(new Event('change')); })(document.querySelector('select'))")
        tab.until("document.querySelector('.state.good')")
        newest = "2" if given["model"] == "times" else "1"
        assert texts(tab, ".head .facts dd")[:2] == ["AVAILABLE", newest]
        tab.until("document.querySelector('form')")


def test_what_the_servers_log_holds_is_not_shown(tab, server):
    """Why a version could not be loaded, and the server's own failures: their texts name files."""
    tab.open(f"{server}#model=broken")
    tab.until("document.querySelector('.head .error')")
    assert texts(tab, ".head .error") == ["It could not be loaded; the server's log says why."]
    states = json.load(urlopen(f"{server}v1/models/broken/versions/2"))["model_version_status"]
    assert states[0]["state"] == "END" and "saved_model.pb" in states[0]["status"]["error_message"]
    failing = 'async () => new Response(\'{"error": "/models"}\', { status: 500 })'
    told = tab.run(
        f"""(async (real) => {{ const m = await import('/page/server.js'); globalThis.fetch = {failing};
        try {{ await m.request('x'); }} catch (e) {{ return e.message; }} finally {{ globalThis.fetch = real; }} }})(fetch)"""
    )
    assert told == "The server failed at this request; its log says why."


def test_tokens_are_made_visible_as_in_the_reports(tab, server):
    from nlp_suite.tasks.shared.surprise import visible

    tab.open(server)
    tab.until("document.querySelector('h1')")
    found = tab.run(f"import('/page/tokens.js').then((m) => {json.dumps(TOKENS)}.map(m.visible))")
    assert [[tuple(part) for part in parts] for parts in found] == [visible(token) for token in TOKENS]
    read = tab.run(
        """import('/page/server.js').then((m) => m.readJson('{"a": [NaN, -Infinity, "NaN, \\\\"NaN"]}').a.map(String))"""
    )
    assert read == ["null", "-Infinity", 'NaN, "NaN']


LOOKS = [
    {"model": "sentiment", "text": "a fine film and a great cast, not dull"},
    {"model": "language", "text": "the cat", "max_tokens": 8},
    {"model": "language", "mode": "next", "text": "the cat"},
    {"model": "language", "mode": "surprise", "text": "the cat sees a zebra and a dog sings"},
    {"model": "translation", "text": "the old cat sleeps in the big house ."},
    {"model": "times", "input:x": "[[1.0]]"},
    {"model": "times", "input:x": "wrong"},
]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_all_text_has_contrast_and_nothing_is_wider_than_the_screen(tab, server, width, dark):
    tab.look(width, dark)
    for given in LOOKS:
        deep(tab, server, **given)
        count, poor = tab.run(CONTRAST)
        assert count > 15 and poor == [], given
        assert tab.run("document.documentElement.scrollWidth") <= width, given
        unnamed = "[...document.querySelectorAll('input, textarea, select')].filter((e) => !e.labels?.length).length"
        assert tab.run(unnamed) == 0, given
    tab.look(1200, dark=False)
