"""Assets and ops in Dagster: real instances and a local RudderStack, in one process."""
