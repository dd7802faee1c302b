"""LoggingMixin: a `log` for classes of DAG authors and provider packages.

Decides the logger's name. Subclassed in DAG files.
"""

from __future__ import annotations

import logging


class LoggingMixin:
    """Gives a class the property `log`."""

    _log_config_logger_name: str | None = None
    _logger_name: str | None = None

    def __init__(self, context: object = None) -> None:
        pass

    @property
    def log(self) -> logging.Logger:
        """The logger of the object's class."""
        return logging.getLogger(self._logger_name or f"{type(self).__module__}.{type(self).__qualname__}")

    @classmethod
    def logger(cls) -> logging.Logger:
        """The logger of the class."""
        return logging.getLogger(f"{cls.__module__}.{cls.__qualname__}")
