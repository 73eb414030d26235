"""A hook of mkdocs: links out of `docs/`, which work on GitHub, are paths on the site.

`[the demo](../../examples/demo)` becomes "the demo (`examples/demo` in the repository)".
"""

import re
from pathlib import Path
from typing import Any

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
        path = target.relative_to(docs.parent)
        text = link["text"]
        named = text if text.strip("`") == str(path) else f"{text} (`{path}`"
        return f"`{path}` in the repository" if named == text else f"{named} in the repository)"

    return _LINK.sub(replaced, markdown)
