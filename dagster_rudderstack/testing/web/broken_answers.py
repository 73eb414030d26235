"""The broken answers that faults send."""

import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Literal

from dagster_rudderstack.testing.clock import http_date
from dagster_rudderstack.testing.faults import Fault, FaultHit
from dagster_rudderstack.testing.web.answers import HTML_TYPE, JSON_TYPE, Answer, message_error

_GATEWAY_PAGE = """<html>
<head><title>{status} {reason}</title></head>
<body>
<center><h1>{status} {reason}</h1></center>
<hr><center>gateway</center>
</body>
</html>
"""
_REASONS = {
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
_MESSAGES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    409: "A sync is already running",
    429: "Too many requests",
}
_WRONG_SHAPES = (
    ("[]", JSON_TYPE),
    ("<!doctype html><title>Sign in</title><p>Please sign in.", HTML_TYPE),
    ("null", JSON_TYPE),
    ('{"unexpected":{"id":7}}', JSON_TYPE),
    ('"ok"', JSON_TYPE),
    ("12345", JSON_TYPE),
)


_ANY_ANSWER = Answer(200, b'{"syncId":"2kQeD9sRmXb7cVf1"}')


@dataclass(frozen=True)
class Cut:
    """The connection is reset, closed, or closed after half of the `answer`."""

    how: Literal["reset", "close", "truncated"]
    answer: Answer = _ANY_ANSWER


def broken_reply(hit: FaultHit, true_answer: Answer | None, now: float) -> Answer | Cut:
    """Make the reply of a fault. `true_answer` is the answer that it replaces, if there is one."""
    fault = hit.fault
    if fault.kind in ("reset", "close"):
        return Cut("reset" if fault.kind == "reset" else "close")
    if fault.kind == "truncated":
        return Cut("truncated", _answer_to_cut(true_answer))
    answer = _replacement(hit, now)
    return replace(answer, headers={**answer.headers, **fault.headers})


def _answer_to_cut(true_answer: Answer | None) -> Answer:
    return true_answer if true_answer is not None and true_answer.body else _ANY_ANSWER


def _replacement(hit: FaultHit, now: float) -> Answer:
    fault = hit.fault
    if fault.kind == "status":
        return _status_answer(fault, now)
    if fault.kind == "wrong_type":
        return _wrong_type(hit)
    if fault.kind == "redirect":
        return Answer(fault.status_code, headers={"location": fault.location})
    if fault.kind == "huge":
        return _text(fault, "x" * fault.size_bytes, "text/plain")
    return _text(fault, fault.body or "", JSON_TYPE)


def _status_answer(fault: Fault, now: float) -> Answer:
    return replace(_status_page(fault), headers=_retry_after(fault, now))


def _status_page(fault: Fault) -> Answer:
    status = fault.status_code
    if fault.body is not None:
        return _text(fault, fault.body, JSON_TYPE if _is_json(fault.body) else HTML_TYPE)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        reason = _REASONS.get(status, "Error")
        return _text(fault, _GATEWAY_PAGE.format(status=status, reason=reason), HTML_TYPE)
    return message_error(status, _MESSAGES.get(status, "The request failed"))


def _retry_after(fault: Fault, now: float) -> dict[str, str]:
    if fault.retry_after is None:
        return {}
    if fault.retry_after_as_date and not isinstance(fault.retry_after, str):
        return {"retry-after": http_date(now + fault.retry_after)}
    return {"retry-after": str(fault.retry_after)}


def _wrong_type(hit: FaultHit) -> Answer:
    if hit.fault.body is not None:
        return _text(hit.fault, hit.fault.body, JSON_TYPE)
    body, content_type = _WRONG_SHAPES[(hit.count - 1) % len(_WRONG_SHAPES)]
    return _text(hit.fault, body, content_type)


def _text(fault: Fault, text: str, content_type: str) -> Answer:
    return Answer(fault.status_code, text.encode(), fault.content_type or content_type)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def with_next_page(answer: Answer, next_page: str | None, this_page: str) -> Answer:
    """Replace the `paging.next` of an answer. None repeats the page."""
    if answer.status != HTTPStatus.OK:
        return answer
    content = json.loads(answer.body)
    content["paging"] = {
        **(content.get("paging") or {}),
        "next": this_page if next_page is None else next_page,
    }
    return replace(answer, body=json.dumps(content, separators=(",", ":")).encode())
