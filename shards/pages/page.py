"""HTML pages in one file that opens offline: templates filled in one pass, with nothing loaded from anywhere.

The page's own policy lets the browser run only the script and styles that were put in here, known by their hash, so text
from shards can neither run nor reach the network even if it were not escaped; it is escaped as well.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from shards.errors import ShardError

_PLACEHOLDER = re.compile(r"\{\{([a-z_]+)\}\}")


def fill_page(
    template: str,
    styles: Sequence[str],
    scripts: Sequence[str],
    parts: Mapping[str, str],
    package: str = "shards.pages",
) -> bytes:
    """A whole page as UTF-8.

    Args:
        template: asset with `{{policy}}`, `{{style}}`, `{{script}}` (where there are scripts) and the names of `parts`.
        styles: assets that are joined into its style element.
        scripts: assets that are joined into its script element.
        parts: placeholder to HTML; text has to be escaped before, with `escaped` or `script_json`.
        package: whose assets these are; what it does not have is taken from here.

    Returns:
        The page. Placeholders inside of what is put in are left alone.
    """
    style = "\n".join(read_asset(name, package) for name in styles)
    script = "\n".join(read_asset(name, package) for name in scripts)
    allowed = f"script-src 'sha256-{_digest(script)}'; " if scripts else ""
    policy = f"default-src 'none'; {allowed}style-src 'sha256-{_digest(style)}'; img-src data:"
    known = {**parts, "style": style, "script": script, "policy": policy}
    page = _PLACEHOLDER.sub(lambda match: known[match[1]], read_asset(template, package))
    return page.encode("utf-8", "xmlcharrefreplace")  # a lone surrogate has no UTF-8


def read_asset(name: str, package: str = "shards.pages") -> str:
    """Text of a file in the folder ``assets`` of a package, or in shards/pages/assets where that has none of the name."""
    own = files(package) / "assets" / name
    found = own if own.is_file() else files("shards.pages") / "assets" / name
    return found.read_text(encoding="utf-8")


def escaped(text: object) -> str:
    """The text for HTML, between tags or in a quoted attribute."""
    return html.escape(str(text))


def script_json(content: Any, where: str) -> str:
    """JSON that may stand inside a script element: ASCII, and without `<`, so that no text can end the element.

    Raises:
        ShardError: JSON cannot hold it; `where` says what it is.
    """
    try:
        text = json.dumps(content, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ShardError(f"{where}: cannot be shown on a page: {error}") from error
    return text.replace("<", "\\u003c")


def data_url(kind: str, data: bytes) -> str:
    """The bytes as an address that holds them: kind `image/png` and the like."""
    return f"data:{kind};base64,{b64encode(data).decode()}"


def _digest(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()
