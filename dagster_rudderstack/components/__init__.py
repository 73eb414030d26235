"""YAML components, which resolve attributes and call the factories."""
