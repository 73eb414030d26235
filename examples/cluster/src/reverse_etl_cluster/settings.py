"""Reads `celery.yaml`."""

from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).with_name("celery.yaml")


def executor_config() -> dict[str, Any]:
    """Return the config of Dagster's Celery executor."""
    config: dict[str, Any] = yaml.safe_load(PATH.read_text())["execution"]["config"]
    return config
