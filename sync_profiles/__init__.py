"""Keep Mixpanel's user profiles equal to the user table of an application database."""

__version__ = "0.1.0"
