"""The YAML components, in real projects of `dg`."""
