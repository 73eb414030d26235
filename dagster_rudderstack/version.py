"""The version, in one place: the build, the User-Agent and Dagster's registry read it here."""

__version__ = "2.0.0"
