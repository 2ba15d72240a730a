"""Databases that are read, always read only."""
