"""Names of connections and tables as parts of asset keys, and as tags."""

import hashlib
import re
import unicodedata

__all__ = ["ascii_part", "hash_digits", "key_part", "name_part", "safe_part", "tag_value"]

MAX_TAG_LENGTH = 63
"""Dagster's own limit for the value of a tag."""


def key_part(name: str) -> str:
    """Return a name in lower case, with its words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", _without_accents(name).lower()).strip("_")


def name_part(name: str, object_id: str) -> str:
    """Return the name of an object, and its id if the name alone would lose letters."""
    parts = (key_part(name), safe_part(object_id) if _loses_letters(name) else "")
    return "_".join(part for part in parts if part) or safe_part(object_id)


def safe_part(text: str) -> str:
    """Return a text with only the characters that Dagster allows in names of inputs and outputs.

    If letters that are not ASCII are lost, the first digits of a hash keep the text distinct.
    """
    safe = ascii_part(text)
    if not _loses_letters(text):
        return safe or "_"
    return "_".join(part for part in (safe.strip("_"), hash_digits(text)) if part)


def ascii_part(text: str) -> str:
    """Return a text with `_` for the characters that names of inputs and outputs cannot have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", _without_accents(text))


def hash_digits(text: str) -> str:
    """Return the first digits of a hash, which keep texts distinct that look alike."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def _loses_letters(text: str) -> bool:
    """Whether a text has letters that are not ASCII even without their accents."""
    return any(char.isalnum() and not char.isascii() for char in _without_accents(text))


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def tag_value(text: str) -> str:
    """Return a text as Dagster accepts tag values: letters, digits, dashes, dots, underscores."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_")[:MAX_TAG_LENGTH]
