"""What must not stand in a log. Imports no models: the settings name it."""

from __future__ import annotations

import logging
import re

_TOKEN = re.compile(r"(/(?:s|e|join)/)[^/?\s]+")


class HideTokens(logging.Filter):
    """Django logs the paths of failed requests as they are; that of a link holds its token."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_TOKEN.sub(r"\1…", each) if isinstance(each, str) else each for each in record.args)
        return True
