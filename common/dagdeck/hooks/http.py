"""HttpHook: requests to the server that a connection of type `http` names.

Decides how a connection becomes a base URL, a login and headers, and which answers are errors. Used by HttpOperator,
HttpSensor and in tasks. Needs httpx, which DagDeck has anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dagdeck.connection import Connection
from dagdeck.exceptions import AirflowException
from dagdeck.hook import BaseHook

if TYPE_CHECKING:
    import httpx

_CLIENT_OPTIONS = ("timeout", "verify", "proxy", "trust_env", "follow_redirects")


class HttpHook(BaseHook):
    """Sends requests with `method` to connection `http_conn_id`.

    The connection's host may be a URL or a name; its schema is then the protocol. Its extra holds headers, except for
    the options timeout, verify, proxy, trust_env and follow_redirects.
    """

    conn_name_attr = "http_conn_id"
    default_conn_name = "http_default"
    conn_type = "http"
    hook_name = "HTTP"

    def __init__(
        self,
        method: str = "POST",
        http_conn_id: str = default_conn_name,
        auth_type: Any = None,
        **kwargs: str | None,
    ) -> None:
        super().__init__(**kwargs)
        self.method = method.upper()
        self.http_conn_id = http_conn_id
        self.auth_type = auth_type
        self.base_url = ""

    def get_conn(self, headers: Mapping[str, str] | None = None, **options: Any) -> httpx.Client:
        """A client with the connection's base URL, login and headers; the caller closes it."""
        import httpx

        connection = self.get_connection(self.http_conn_id)
        self.base_url = base_url_of(connection)
        extra = connection.extra_dejson
        settings = {name: extra.pop(name) for name in _CLIENT_OPTIONS if name in extra}
        merged = {**{name: str(value) for name, value in extra.items()}, **(headers or {})}
        login: Any = None
        if connection.login:
            login = (self.auth_type or httpx.BasicAuth)(connection.login, connection.password or "")
        return httpx.Client(
            base_url=self.base_url,
            headers=merged,
            auth=login,
            **{"timeout": 60.0, "follow_redirects": True, **settings, **options},
        )

    def run(
        self,
        endpoint: str | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        extra_options: Mapping[str, Any] | None = None,
        *,
        json: Any = None,
        params: Any = None,
    ) -> httpx.Response:
        """Send one request and return the answer.

        `data` is the query of a GET, HEAD or DELETE request, else its body. Raises AirflowException when the server
        cannot be reached, or answers with 400 or above unless `extra_options["check_response"]` is False.
        """
        import httpx

        options = dict(extra_options or {})
        check = options.pop("check_response", True)
        in_query = self.method in ("GET", "HEAD", "DELETE")
        body: dict[str, Any] = {} if in_query or data is None else _body(data)
        query = params if params is not None else (data if in_query else None)
        with self.get_conn(headers, **options) as client:
            url = endpoint or ""
            self.log.info("%s %s", self.method, client.base_url.join(url))
            try:
                answer = client.request(self.method, url, params=query, json=json, **body)
            except httpx.HTTPError as error:
                raise AirflowException(f"{self.method} {self.base_url}/{url} failed: {error}") from error
        if check and answer.status_code >= 400:
            self.log.error("The answer: %s", answer.text[:2_000])
            raise AirflowException(f"{answer.status_code}:{answer.reason_phrase}")
        return answer

    def test_connection(self) -> tuple[bool, str]:
        """Whether the server answers at all, and a sentence about it."""
        self.method = "HEAD"
        try:
            answer = self.run("", extra_options={"check_response": False})
        except AirflowException as error:
            return False, str(error)
        return True, f"{self.base_url} answers with {answer.status_code}"


def base_url_of(connection: Connection) -> str:
    """`protocol://host:port` of a connection. Raises AirflowException when it has no host."""
    if not connection.host:
        raise AirflowException(f"Connection {connection.conn_id!r} has no host, so it names no server")
    url = connection.host if "://" in connection.host else f"{connection.schema or 'http'}://{connection.host}"
    return f"{url}:{connection.port}" if connection.port else url


def _body(data: Any) -> dict[str, Any]:
    return {"data": data} if isinstance(data, Mapping) else {"content": data}
