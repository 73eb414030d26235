"""Generated requests to every operation of the contract. All answers conform to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    positive_data_acceptance,
    response_schema_conformance,
)

from dagster_rudderstack.testing import LocalRudderStack, RunScript, SyncScript
from dagster_rudderstack_tests.testing.contract import ALWAYS_ALLOWED, SCHEMA

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    positive_data_acceptance,
]

if TYPE_CHECKING:
    Case: TypeAlias = schemathesis.Case[Any]
else:
    Case = schemathesis.Case

few_examples = settings(
    max_examples=15,
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Target:
    """A server with some objects, and their ids."""

    server: LocalRudderStack
    ids: dict[str, str]
    session: requests.Session


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with LocalRudderStack() as server, requests.Session() as session:
        server.add_connection(
            "crm",
            "warehouse",
            "hubspot",
            parallel_syncs=True,
            script=SyncScript(rows_total=10),
            mappings={"email": "Email"},
        )
        server.add_project("project", RunScript(error="no credits", snake_case=True))
        run_id = server.start_run("project")
        sync_id = server.start_sync("crm")
        session.trust_env = False
        session.headers["authorization"] = f"Bearer {server.access_token}"
        ids = {
            "connectionId": "crm",
            "syncId": sync_id,
            "sourceId": "warehouse",
            "destinationId": "hubspot",
            "runId": run_id,
        }
        yield Target(server, ids, session)
        assert server.errors == []


def exchange(case: Case, target: Target) -> int:
    """Send the request, check the answer, and return its status."""
    response = case.call(base_url=f"{target.server.url}/v2", session=target.session)
    documented = {int(status) for status in case.operation.definition.raw["responses"]}
    is_own_method = case.method.upper() == case.operation.method.upper()
    if is_own_method:
        assert response.status_code in documented | ALWAYS_ALLOWED
        case.validate_response(response, checks=CHECKS)
    else:
        assert response.status_code == 405
        assert case.operation.method.upper() in response.headers["allow"][0]
    return int(response.status_code)


@SCHEMA.include(operation_id="startSourceRun").parametrize()
@few_examples
def test_generated_request__start_without_a_run_id(case: Case, target: Target) -> None:
    """A start of a run can be answered with 201 or 204."""
    for number in (201, 204):
        target.server.add_project(f"etl-{number}", RunScript(), start_status=number)
        case.path_parameters = {"sourceId": f"etl-{number}"}

        status = exchange(case, target)

        if is_valid(case) and case.method.upper() == case.operation.method.upper():
            assert status == number


def is_valid(case: Case) -> bool:
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE


@SCHEMA.parametrize()
@few_examples
def test_generated_request(case: Case, target: Target) -> None:
    """Each request has an answer that the contract allows."""
    exchange(case, target)


@SCHEMA.parametrize()
@few_examples
def test_generated_request__known_ids(case: Case, target: Target) -> None:
    """A valid request for an existing object succeeds."""
    ids = {name: target.ids[name] for name in case.path_parameters or {}}
    if "/sources/" in case.path:
        ids["sourceId"] = "project"
        target.server.add_project("project", RunScript())
    case.path_parameters = ids

    status = exchange(case, target)

    if is_valid(case) and case.method.upper() == case.operation.method.upper():
        assert status in (200, 204)
