"""A listener to everything that is logged while a test runs, and a search of it for what may never be written."""

from __future__ import annotations

import logging
import re

from sync_profiles.observe import log

SECRETS = re.compile(
    r"[\w.+-]+@[\w-]+\.\w"  # an e-mail address
    r"|://[^\s/@*]*:[^\s*]+@"  # a login inside a URL
    r"|hunter2|correct0horse|e2e0token"  # the passwords and tokens of the tests
)
FORMATS = tuple(make() for make in log._FORMATTERS)


class Heard(logging.Handler):
    """Keeps each line, in whatever form, that names a secret."""

    def __init__(self) -> None:
        super().__init__()
        self.leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        lines = [form.format(record) for form in FORMATS]
        self.leaks += [line for line in lines if SECRETS.search(line)]
