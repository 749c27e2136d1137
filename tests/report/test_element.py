"""Markup that escapes by itself."""

import html.parser

import pytest
from support.oddities import ODD

from kallglot_async.report.element import Markup, el, isolated, join


class Reader(html.parser.HTMLParser):
    """Reads tags, attributes and text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", ODD, ids=["markup", "right to left", "long", "controls", "lines", "empty"])
def test_a_text_is_no_markup_wherever_it_stands(text):
    """As a child and as an attribute it is read back as it was, but for what HTML has no character for."""
    page = Reader(el("p", text, title=text))
    assert page.tags == ["p"]
    ((name, value),) = page.attributes
    assert name == "title"
    expected = "".join("\ufffd" if c in "\x00\x07\x1b\x85\ud800\uffff\r" else c for c in text)
    assert page.text == value == expected
    assert el("p", text).encode()


def test_children_are_texts_markup_or_nothing():
    """Markup stays as it is, None is nothing."""
    assert el("p", "a < b", el("b", "&"), None) == "<p>a &lt; b<b>&amp;</b></p>"
    assert isinstance(join(["<", Markup("<br>")]), Markup)
    assert join(["<", Markup("<br>")]) == "&lt;<br>"


def test_ends_that_html_lets_out_are_left_out():
    """Rows and cells end by themselves; a void element has no end."""
    assert el("tr", el("td", "1"), el("td", "2")) == "<tr><td>1<td>2"
    assert el("br") == "<br>"


def test_attributes_are_named_and_written_as_html_has_them():
    """`class_` and `aria_label`; quotes only where needed; True alone; None and False not at all; two decimals."""
    made = el("a", class_="x", aria_label="two words", hidden=True, id=None, open=False, width=1 / 3, height=2.0, n=3)
    assert made == '<a class=x aria-label="two words" hidden width=0.33 height=2 n=3></a>'
    assert el("a", href="") == '<a href=""></a>'


def test_a_text_of_another_direction_stays_in_its_own_box():
    """ASCII has no direction of its own and needs none."""
    assert isolated("plain") == "plain"
    assert isolated("\u202e<") == "<bdi>\u202e&lt;</bdi>"
