"""A local stand-in for Mixpanel."""
