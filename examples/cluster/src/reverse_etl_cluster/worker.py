"""The Celery app of the workers: `celery -A reverse_etl_cluster.worker worker`.

`dagster-celery worker start` runs Celery as a child process and does not pass SIGTERM on to it, so
that Celery cannot let its tasks end. This module runs the same tasks without that parent process.
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
