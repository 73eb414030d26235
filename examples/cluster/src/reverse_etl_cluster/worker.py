"""The Celery app of the workers: `celery -A reverse_etl_cluster.worker worker`.

`dagster-celery worker start` runs Celery as a child process and does not pass signals on. So a worker
that it has started cannot be ended gently. This module starts the same tasks without it.
"""

import os

from dagster_celery.app import app

from reverse_etl_cluster.settings import executor_config

__all__ = ["app"]

_config = executor_config()

app.conf.update(
    broker_url=os.environ[_config["broker"]["env"]],
    result_backend=os.environ[_config["backend"]["env"]],
    **_config["config_source"],
)
