"""The page on clusters: its links, and the numbers that it takes from settings."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_rudderstack import RudderStackResource

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "cluster"
PAGES = [ROOT / "docs" / "guides" / "deployment.md", EXAMPLE / "README.md"]
PAGE = PAGES[0].read_text()


def load(path: str) -> Any:
    return yaml.safe_load((EXAMPLE / path).read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """The targets of the links exist."""
    links = re.findall(r"\]\((?!https:)([^)#]+)\)", page.read_text())

    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_links__from_other_pages() -> None:
    """The pages from which a reader comes here have a link."""
    linking = ("README.md", "docs/guides/termination-and-retries.md", "docs/guides/many-syncs.md")

    assert all("deployment.md" in (ROOT / page).read_text() for page in linking)


def test_files_of_the_example() -> None:
    """The files in the table of the example exist."""
    paths = re.findall(r"^\| `([\w/.-]+\.\w+)` \|", PAGES[1].read_text(), re.MULTILINE)

    assert paths
    assert [path for path in paths if not (EXAMPLE / path).exists()] == []


def test_limits_of_the_library() -> None:
    """The defaults that the page names are those of the resource."""
    fields = RudderStackResource.model_fields

    assert fields["sync_timeout_seconds"].default == 24 * 3600
    assert "`sync_timeout_seconds` is a day by default" in PAGE
    assert fields["outage_tolerance_seconds"].default == 45 * 60
    assert "`outage_tolerance_seconds` (45 minutes)" in PAGE


def test_visibility_timeout() -> None:
    """The page names the visibility timeout of the example."""
    config = load("src/reverse_etl_cluster/celery.yaml")["execution"]["config"]["config_source"]
    options = config["broker_transport_options"]

    assert options == {"visibility_timeout": 180, "unacked_restore_throttle": 1}
    assert "the example has 120 s\nand 180 s" in PAGE
    assert "timeout of 180 s and `unacked_restore_throttle: 1`" in PAGE


def test_grace_period() -> None:
    """The page and the values for Helm have the same grace period."""
    launcher = load("helm-values.yaml")["runLauncher"]["config"]["k8sRunLauncher"]

    pod = launcher["runK8sConfig"]["podSpecConfig"]
    assert pod == {"terminationGracePeriodSeconds": 60}
    assert "Set `terminationGracePeriodSeconds` to\n  60" in PAGE


def test_settings_of_the_example() -> None:
    """The instance and the workers of the example have what the page's list asks for."""
    instance = load("dagster.yaml")
    celery = load("src/reverse_etl_cluster/celery.yaml")["execution"]["config"]["config_source"]

    assert instance["run_monitoring"]["enabled"]
    assert instance["run_retries"]["enabled"]
    assert instance["storage"]["postgres"]["postgres_db"]["scheme"] in PAGE
    for setting in ("task_acks_late", "task_reject_on_worker_lost"):
        assert celery[setting] is True
        assert f"`{setting}`" in PAGE
    assert celery["worker_prefetch_multiplier"] == 1
