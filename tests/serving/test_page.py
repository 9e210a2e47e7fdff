"""The files of the page at `/`: what is served, and that nothing in them comes from elsewhere."""

import asyncio
import json
import re
from types import SimpleNamespace

from nlp_suite.serving.flags import Options
from nlp_suite.serving.page import page_files
from nlp_suite.serving.rest.app import RestApp

NAMES = ["sentiment", 'a "quoted" <b>name</b>']


def get(path, method="GET", page=True):
    """Status, content type and body of a path, without a server."""
    manager = SimpleNamespace(names=lambda: NAMES)
    app = RestApp(SimpleNamespace(manager=manager), Options(page=page))
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": []}
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
        waiting += {f"/page/{name}" for name in re.findall(r'from "\./([^"]+)"', text)} - seen
    assert {"/", *seen} == set(page_files())  # and no file that nobody asks for
    assert get("/", "HEAD")[0] == 200 and get("/", "POST")[0] == 404


def test_nothing_beside_the_pages_own_files_is_served():
    for path in ("/page/", "/page/__init__.py", "/page/../page/page.js", "/page/page.html", "/page/..%2fpage.js"):
        assert get(path)[0] == 404, path
    for path in ("/", "/page/page.js", "/page/models"):
        assert get(path, page=False)[0] == 404, path


def test_models_are_listed():
    status, kind, body = get("/page/models")
    assert (status, kind) == (200, "application/json")
    assert [model["name"] for model in json.loads(body)["models"]] == NAMES


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
