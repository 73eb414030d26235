"""The HTTP answers of the API, and the three shapes of its errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `took_effect` and `affected` are for the request log."""

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    took_effect: bool = False
    affected: tuple[str, ...] = ()


def json_answer(status: int, content: Any, **facts: Any) -> Answer:
    """Make an answer with a JSON body."""
    return Answer(status, json.dumps(content, separators=(",", ":")).encode(), **facts)


# RudderStack's API writes its errors in three shapes. Here each kind of error always has the same
# shape, so that clients meet all three and tests are repeatable.


def plain_error(status: int, message: str) -> Answer:
    """Make an error of the shape {"error": ...}."""
    return json_answer(status, {"error": message})


def message_error(status: int, message: str) -> Answer:
    """Make an error of the shape {"message": ...}."""
    return json_answer(status, {"message": message})


def detailed_error(status: int, message: str, code: str, details: Any) -> Answer:
    """Make an error of the shape {"message": ..., "code": ..., "details": ...}."""
    return json_answer(status, {"message": message, "code": code, "details": details})


def unauthorized() -> Answer:
    """Make the answer to a missing or wrong token."""
    return plain_error(401, "Unauthorized: the access token is missing or wrong")


def unknown_path() -> Answer:
    """Make the answer to a request for a path that the API does not have."""
    return plain_error(404, "Unknown path")


def forbidden(message: str) -> Answer:
    """Make the answer to a request without permission."""
    return detailed_error(403, message, "FORBIDDEN", {"permission": message})
