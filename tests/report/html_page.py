"""What a page says, for the tests of pages."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Texts, images, addresses and tables of a page, and whether every element is closed.

    ``tables`` maps the caption of each table (with the second-level heading above it) to its rows of texts.
    """

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text):
        super().__init__()
        self.images, self.addresses, self.open, self.words = [], [], [], []
        self.tables, self.heading, self._caption = {}, "", ""
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.images.append(dict(attrs))
        self.addresses += [v for k, v in attrs if k in ("src", "href", "srcset", "action", "data", "poster")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "h2":
            self.heading = ""
        elif tag == "caption":
            self._caption = ""
        elif tag == "tr" and "table" in self.open:
            self.tables.setdefault((self.heading, self._caption), []).append([])
        elif tag in ("td", "th") and "tr" in self.open:
            self.tables[self.heading, self._caption][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self._caption = ""

    def handle_data(self, data):
        if not self.open or self.open[-1] in ("style", "script"):
            return
        self.words.append(data)
        if "h2" in self.open:
            self.heading += data
        elif "caption" in self.open:
            self._caption += data
        elif {"td", "th"} & set(self.open):
            row = self.tables[self.heading, self._caption][-1]
            row[-1] = " ".join(f"{row[-1]} {data}".split())
