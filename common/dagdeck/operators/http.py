"""HttpOperator: one request to a server.

Decides which answer is a success and what of it is the result; the request itself is made by
`dagdeck.hooks.http`. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from dagdeck.context import Context
from dagdeck.exceptions import AirflowException
from dagdeck.hooks.http import HttpHook
from dagdeck.operator import BaseOperator
from dagdeck.operators.callable_arguments import keyword_arguments


class HttpOperator(BaseOperator):
    """Sends a request to `endpoint` of connection `http_conn_id`; the answer's text is the result.

    `response_check(response, …)` returns whether the answer is a good one, `response_filter(response, …)` the result.
    Both get values of the context that they name.
    """

    template_fields: ClassVar[Sequence[str]] = ("endpoint", "data", "headers")
    template_fields_renderers: ClassVar[Mapping[str, str]] = {"headers": "json", "data": "py"}
    template_ext: Sequence[str] = ()
    ui_color = "#f4a460"

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        method: str = "POST",
        data: Any = None,
        headers: dict[str, str] | None = None,
        response_check: Callable[..., bool] | None = None,
        response_filter: Callable[..., Any] | None = None,
        extra_options: dict[str, Any] | None = None,
        http_conn_id: str = HttpHook.default_conn_name,
        log_response: bool = False,
        auth_type: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.method = method
        self.data = data if data is not None else {}
        self.headers = headers or {}
        self.response_check = response_check
        self.response_filter = response_filter
        self.extra_options = extra_options or {}
        self.http_conn_id = http_conn_id
        self.log_response = log_response
        self.auth_type = auth_type

    def execute(self, context: Context) -> Any:
        """Send the request. Raises AirflowException for an answer that is an error or fails the check."""
        hook = HttpHook(self.method, self.http_conn_id, self.auth_type)
        answer = hook.run(self.endpoint, self.data or None, self.headers, self.extra_options)
        if self.log_response:
            self.log.info("%s", answer.text)
        if self.response_check is not None and not _called(self.response_check, answer, context):
            raise AirflowException("response_check says that this is not a good answer")
        return answer.text if self.response_filter is None else _called(self.response_filter, answer, context)


def _called(function: Callable[..., Any], answer: Any, context: Context) -> Any:
    return function(answer, **keyword_arguments(function, [answer], {}, context))
