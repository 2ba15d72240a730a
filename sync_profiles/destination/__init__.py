"""Mixpanel, and the layers around it."""
