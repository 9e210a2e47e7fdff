"""The files of the page at `/`: what is served, and that nothing in them comes from elsewhere."""

import asyncio
import json
import posixpath
import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from nlp_suite.registry import TASKS
from nlp_suite.serving import page as page_package
from nlp_suite.serving.access_log import AccessLog
from nlp_suite.serving.flags import Options
from nlp_suite.serving.page import page_files
from nlp_suite.serving.rest.app import RestApp
from nlp_suite.serving.status import Code, ServingError

NAMES = ["sentiment", 'a "quoted" <b>name</b>']
FORMS = {"sentiment": {3: "classification", 4: "any"}, 'a "quoted" <b>name</b>': {1: ""}}  # model → version → form


def use(spec):
    """What the manager gives for a `ModelSpec`: an object with the form that its export names."""
    versions = FORMS.get(spec.name, {})
    version = spec.version.value if spec.HasField("version") else max(versions, default=None)
    if version not in versions:
        raise ServingError(Code.NOT_FOUND, f"no {spec.name}, {version}")
    return nullcontext(SimpleNamespace(page_form=versions[version], columns={}))


def get(path, method="GET", page=True, query=""):
    """Status, content type and body of a path, without a server."""
    manager = SimpleNamespace(names=lambda: NAMES, use=use)
    app = RestApp(SimpleNamespace(manager=manager, log=AccessLog()), Options(page=page))
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "headers": [(b"host", b"localhost")],
    }
    scope |= {"query_string": query.encode(), "http_version": "1.1"}
    asyncio.run(app(scope, receive, send))
    app.close()
    return sent[0]["status"], dict(sent[0]["headers"])[b"content-type"].decode(), sent[1]["body"].decode()


def test_the_page_and_all_that_it_names_are_served():
    status, kind, page = get("/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    named = re.findall(r'(?:href|src)="(page/[^"]+)"', page)
    assert sorted(named) == ["page/page.css", "page/page.js"]
    waiting, seen = [f"/{name}" for name in named], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        status, kind, text = get(path)
        assert status == 200 and kind == ("text/css" if path.endswith("css") else "text/javascript") + "; charset=utf-8"
        folder = posixpath.dirname(path)
        waiting += {posixpath.normpath(f"{folder}/{name}") for name in re.findall(r'from "(\.[^"]+)"', text)} - seen
    assert {"/", *seen} == set(page_files())  # and no file that nobody asks for
    assert get("/", "HEAD")[0] == 200 and get("/", "POST")[0] == 404


def test_nothing_beside_the_pages_own_files_is_served():
    for path in (
        "/page/",
        "/page/__init__.py",
        "/page/../page/page.js",
        "/page/page.html",
        "/page/..%2fpage.js",
        "/page/forms/",
    ):
        assert get(path)[0] == 404, path
    for path in ("/", "/page/page.js", "/page/models", "/page/form"):
        assert get(path, page=False)[0] == 404, path


def test_models_are_listed():
    status, kind, body = get("/page/models")
    assert (status, kind) == (200, "application/json")
    assert [model["name"] for model in json.loads(body)["models"]] == NAMES


@pytest.mark.parametrize(
    "query, status, answer",
    [
        ("model=sentiment", 200, {"form": "any", "columns": {}}),  # of the newest version
        ("model=sentiment&version=3", 200, {"form": "classification", "columns": {}}),
        ("model=a+%22quoted%22+%3Cb%3Ename%3C/b%3E", 200, {"form": "", "columns": {}}),
        ("model=sentiment&version=9", 404, {"error": "no sentiment, 9"}),
        ("model=sentiment&version=x", 400, {"error": "Failed to convert version: x to numeric."}),
        ("", 404, {"error": "no , None"}),
    ],
)
def test_the_form_that_an_export_names(query, status, answer):
    told = get("/page/form", query=query)
    assert told[:2] == (status, "application/json") and json.loads(told[2]) == answer


def test_a_form_is_one_file(tmp_path, monkeypatch):
    folder = shutil.copytree(Path(page_package.__file__).parent, tmp_path / "page")
    (folder / "forms" / "default.js").write_text("export const kind = 'new';")  # a word that JavaScript reserves
    monkeypatch.setattr(page_package, "_FOLDER", folder)
    files = page_files()
    assert files["/page/forms/default.js"][1] == b"export const kind = 'new';"
    module = files["/page/forms.js"][1].decode()
    imported = dict(re.findall(r'import \* as (\w+) from "\./forms/(\w+)\.js"', module))
    assert sorted(imported.values()) == [
        "any",
        "classification",
        "default",
        "forecast",
        "generation",
        "labels",
        "ordinal",
        "regression",
        "translation",
    ]
    assert dict(re.findall(r'\["(\w+)", (\w+)\]', module)) == {name: form for form, name in imported.items()}


def test_every_task_names_a_form():
    forms = {Path(path).stem for path in page_files() if path.startswith("/page/forms/")}
    assert {TASKS.get(name).page_form for name in TASKS.names()} <= forms


def test_nothing_comes_from_elsewhere_and_no_text_becomes_markup():
    files = {path: content.decode() for path, (_, content) in page_files().items()}
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', files["/"])[1]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["trusted-types"] == "'none'"
    assert {rules[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
    for path, text in files.items():
        assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", text), path
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser", text
        ), path
