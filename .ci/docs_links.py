"""A hook of mkdocs, for links and for what a page loads.

Links out of `docs/`, which work on GitHub, are paths on the site: `[the demo](../../examples/demo)`
becomes "the demo (`examples/demo` in the repository)". A page that loads something from another
host, such as a script or a font, fails the build.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_LINK = re.compile(r"\[(?P<text>[^]]*)\]\((?P<target>\.\./[^)#\s]*)(?P<anchor>#[\w-]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Return the page with the links out of `docs/` as text. The others stay as they are."""
    docs = Path(config.docs_dir).resolve()
    folder = (docs / page.file.src_uri).parent

    def replaced(link: re.Match[str]) -> str:
        target = (folder / link["target"]).resolve()
        # mkdocs itself says that a link within docs/ is broken.
        if target.is_relative_to(docs) or not target.exists():
            return link[0]
        path = f"`{target.relative_to(docs.parent)}` in the repository"
        is_path = link["text"].strip("`") in path
        return path if is_path else f"{link['text']} ({path})"

    return _LINK.sub(replaced, markdown)


_FOREIGN = re.compile(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=[\"'](?:https?:)?//[^>]*>")


def on_post_page(output: str, *, page: Any, **_: Any) -> None:
    """Fail if a page loads something from another host."""
    found = _FOREIGN.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri} loads something from another host: {found[0]}")
