"""The page at `/` of the REST port: its files, which need no other host and no build step.

A form asks models of one kind. It is one file in `forms/`, and being there is enough; it exports `kind` (what its models
do, a few words), `matches(signatures)` (whether it can ask a model with these signatures) and `modes(signatures)` (what can
be asked: `{id, name, send, fields(values, signatures), run(context)}` each). An export may name its form; else the first
that matches is taken, and `any` asks the signatures of models that no other form matches.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent
_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
}


def page_files() -> dict[str, tuple[bytes, bytes]]:
    """The page's files by path: content type and content.

    Example:
        >>> content_type, content = page_files()["/"]
    """
    paths = [path for path in sorted(_FOLDER.glob("**/*")) if path.suffix in _TYPES]
    files = {
        f"/page/{path.relative_to(_FOLDER).as_posix()}": (_TYPES[path.suffix], path.read_bytes()) for path in paths
    }
    names = [path.stem for path in paths if path.parent.name == "forms"]
    return {"/": files.pop("/page/page.html"), "/page/forms.js": (_TYPES[".js"], forms_module(names)), **files}


def forms_module(names: list[str]) -> bytes:
    """JavaScript that exports `FORMS`, the forms of these names as a `Map`.

    Example:
        >>> print(forms_module(["any"]).decode(), end="")
        import * as form0 from "./forms/any.js";
        export const FORMS = new Map([["any", form0]]);
    """
    imports = [f'import * as form{number} from "./forms/{name}.js";\n' for number, name in enumerate(names)]
    entries = ", ".join(f'["{name}", form{number}]' for number, name in enumerate(names))
    return f"{''.join(imports)}export const FORMS = new Map([{entries}]);\n".encode()
