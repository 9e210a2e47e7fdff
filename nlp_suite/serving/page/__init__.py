"""The page at `/` of the REST port: its files, which need no other host and no build step."""

from pathlib import Path

_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
}


def page_files() -> dict[str, tuple[bytes, bytes]]:
    """The page's files by path: content type and content.

    Example:
        >>> kind, content = page_files()["/"]
    """
    files = {
        f"/page/{path.name}": (_TYPES[path.suffix], path.read_bytes())
        for path in sorted(Path(__file__).parent.iterdir())
        if path.suffix in _TYPES
    }
    return {"/": files.pop("/page/page.html"), **files}
