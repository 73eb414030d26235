"""`python -m dagster_rudderstack`: the command line."""

from dagster_rudderstack.cli.main import run

if __name__ == "__main__":
    run()
