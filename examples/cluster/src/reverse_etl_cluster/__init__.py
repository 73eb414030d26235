"""The reverse ETL demo on a cluster: its steps run on Celery workers."""
