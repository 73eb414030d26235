"""The contract of the API, and a check of an answer against it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import schemathesis

PATH = Path(__file__).parents[1] / "rudderstack-openapi.yaml"

SCHEMA = schemathesis.openapi.from_path(PATH)

# Statuses that any operation may answer, although the contract does not list them for each.
ALWAYS_ALLOWED = {400, 401, 403, 404, 405}

_PATHS: Mapping[str, Any] = SCHEMA.raw_schema["paths"]


def template_of(path: str) -> str | None:
    """Find the path in the contract, such as "/destinations/{destinationId}", of a real path."""
    for template in sorted(_PATHS, key=lambda each: each.count("{")):
        pattern = re.sub(r"\{[^}]*\}", "[^/]+", template)
        if re.fullmatch(f".*/v2{pattern}", path):
            return str(template)
    return None


def check(response: httpx.Response) -> None:
    """Fail if the contract does not allow the answer."""
    response.read()
    template = template_of(response.request.url.raw_path.decode().partition("?")[0])
    method = response.request.method
    if template is None or method.lower() not in _PATHS[template]:
        assert response.status_code in (401, 404, 405)
        return
    documented = {int(status) for status in _PATHS[template][method.lower()]["responses"]}
    assert response.status_code in documented | ALWAYS_ALLOWED
    if response.status_code in documented:
        SCHEMA[template][method].validate_response(response)
    elif response.status_code != 405:
        assert_is_error(response)


def assert_is_error(response: httpx.Response) -> None:
    """Fail unless the error has a message."""
    content = response.json()
    assert isinstance(content, dict)
    assert isinstance(content.get("error", content.get("message")), str)
