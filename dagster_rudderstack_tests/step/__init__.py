"""A step: many syncs at once, deferred syncs, and interrupts."""
