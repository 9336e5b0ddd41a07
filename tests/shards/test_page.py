import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from shards.errors import ShardError
from shards.pages.page import data_url, escaped, fill_page, script_json

PARTS = {"name": "a {{style}} b", "summary": "", "note": "", "flags": "{{policy}}", "failures": ""}


def test_placeholders_are_filled_once() -> None:
    page = fill_page("quality.html", ["page.css"], [], PARTS).decode()
    assert "<h1>a {{style}} b</h1>" in page
    assert "\n{{policy}}\n" in page
    with pytest.raises(KeyError):
        fill_page("quality.html", [], [], {})


def test_policy_allows_this_style_and_no_script() -> None:
    page = fill_page("quality.html", ["page.css", "quality.css"], [], PARTS).decode()
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page
    assert "script-src" not in page
    assert "default-src 'none'" in page


def test_json_cannot_end_its_element() -> None:
    class Reader(HTMLParser):
        found: str = ""

        def handle_data(self, data: str) -> None:
            self.found += data

    content = {"a": "</script><!--<script>", "b": "\u2028 é \ud800", "c": [1, None]}
    text = script_json(content, "here")
    assert text.isascii()
    assert "<" not in text
    reader = Reader()
    reader.feed(f"<script>{text}</script>")
    assert json.loads(reader.found) == content
    with pytest.raises(ShardError, match="here: cannot be shown on a page"):
        script_json(float("nan"), "here")


def test_text_and_addresses() -> None:
    assert escaped('<a href="x">\'&') == "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;"
    assert data_url("image/png", b"\x00\xff") == "data:image/png;base64,AP8="


def test_lone_surrogates_can_be_written() -> None:
    assert b"&#55296;" in fill_page("quality.html", [], [], PARTS | {"name": "\ud800"})
