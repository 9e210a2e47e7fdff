"""What tests check on every page: tags are balanced, nothing is loaded or run."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr", "hr", "img", "input", "link", "use", "path", "line", "rect", "circle"}
SCRIPT = "<script>alert('x')</script> & \"quoted\""


class Reader(HTMLParser):
    """Checks that tags are balanced, and collects tags, attributes, ids and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.ids, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def check_alone(text: str) -> Reader:
    """Nothing is loaded, run or referred to outside the page; ids are unique."""
    read = Reader(text)
    assert "http://" not in text and "https://" not in text
    assert not {"script", "link", "img", "iframe", "object"} & set(read.tags)
    for name, value in read.attributes:
        assert not name.startswith("on")
        if name in ("href", "xlink:href", "src"):
            assert value.startswith("#") and value[1:] in read.ids
    assert all(reference in read.ids for reference in re.findall(r"url\(#([^)]+)\)", text))
    assert not re.search(r"url\((?!#)|@import", text)
    assert len(read.ids) == len(set(read.ids))
    return read
