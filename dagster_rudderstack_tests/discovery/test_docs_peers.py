"""The example of `docs/from-other-integrations.md` runs, and its links lead somewhere."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import dagster_rudderstack
from dagster_rudderstack.testing import LocalRudderStack
from dagster_rudderstack_tests.discovery.conftest import fill

PAGE = Path(__file__).parents[2] / "docs" / "from-other-integrations.md"


def test_example(server: LocalRudderStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The definitions have all connections but the one that is left out, and each logs its sync."""
    fill(server)
    server.add_destination("sandbox", name="Sandbox", type="HS")
    server.add_connection("left-out", "customers-src", "sandbox")
    monkeypatch.setenv("RUDDERSTACK_ACCESS_TOKEN", server.access_token)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    local = f'RudderStackResource(api_url="{server.url}", '
    names: dict[str, Any] = {"__name__": "page"}
    exec(example.replace("RudderStackResource(access", f"{local}access"), names)  # noqa: S102 - our own page

    definitions: dg.Definitions = names["defs"]
    with dg.instance_for_test() as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance)
        lines = [entry.user_message for entry in instance.all_logs(result.run_id)]

    assert result.success
    assert "left-out" not in {request.connection_id for request in server.starts()}
    assert {"About to sync contacts.", "About to sync audience."} <= set(lines)
    assert {spec.group_name for spec in definitions.resolve_all_asset_specs() if spec.kinds} == {
        "activation"
    }


def test_names() -> None:
    """Each name of this library in the table exists."""
    rows = [line.split("|")[2] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    used = {name for row in rows for name in re.findall(r"`(\w*[Rr]udder\w+)", row)}

    assert used
    for name in used:
        assert hasattr(dagster_rudderstack, name), name


@pytest.mark.parametrize("page", sorted(PAGE.parent.rglob("*.md")), ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """Each link to another page, and to a heading of it, leads somewhere."""
    for target, _, heading in re.findall(r"\]\(([^)#:]*)(#([\w-]+))?\)", page.read_text()):
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in titles}
            assert heading in slugs, f"{target}#{heading}"
