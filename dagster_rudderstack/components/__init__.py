"""The components for YAML. They resolve attributes and call the factories."""
