"""Observers: they look at events and never change a run."""
