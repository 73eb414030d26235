"""The project around the library: the demo, the README, the packages."""
