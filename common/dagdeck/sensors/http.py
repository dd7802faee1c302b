"""HttpSensor: waits until a server answers as wanted.

Decides which answers mean "not yet"; the request itself is made by `dagdeck.hooks.http`. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from dagdeck.context import Context
from dagdeck.exceptions import AirflowException
from dagdeck.hooks.http import HttpHook
from dagdeck.operators.callable_arguments import keyword_arguments
from dagdeck.sensors.base import BaseSensorOperator, PokeReturnValue


class HttpSensor(BaseSensorOperator):
    """Requests `endpoint` until the answer is good: below 400, and as `response_check` wants it if given.

    An answer whose status is among `response_error_codes_allowlist` (404) means "not yet", any other of 400 or above
    fails. `request_params` is the query of a GET request, else the body.
    """

    template_fields: ClassVar[Sequence[str]] = ("endpoint", "request_params", "headers")
    template_fields_renderers: ClassVar[Mapping[str, str]] = {"headers": "json", "request_params": "py"}

    def __init__(
        self,
        *,
        endpoint: str,
        http_conn_id: str = HttpHook.default_conn_name,
        method: str = "GET",
        request_params: Any = None,
        headers: dict[str, str] | None = None,
        response_error_codes_allowlist: Collection[str | int] | None = None,
        response_check: Callable[..., bool | PokeReturnValue] | None = None,
        extra_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.http_conn_id = http_conn_id
        self.method = method
        self.request_params = request_params or {}
        self.headers = headers or {}
        allowed = ("404",) if response_error_codes_allowlist is None else response_error_codes_allowlist
        self.response_error_codes_allowlist = frozenset(str(code) for code in allowed)
        self.response_check = response_check
        self.extra_options = extra_options or {}

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Ask once. Raises AirflowException for an error that is not allowed."""
        options = {**self.extra_options, "check_response": False}
        hook = HttpHook(self.method, self.http_conn_id)
        answer = hook.run(self.endpoint, self.request_params or None, self.headers, options)
        if answer.status_code >= 400:
            if str(answer.status_code) in self.response_error_codes_allowlist:
                return False
            raise AirflowException(f"{answer.status_code}:{answer.reason_phrase}")
        if self.response_check is None:
            return True
        found = self.response_check(answer, **keyword_arguments(self.response_check, [answer], {}, context))
        return found if isinstance(found, PokeReturnValue) else bool(found)
