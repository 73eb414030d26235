"""Discovery: a workspace in, assets with their lineage out."""
