"""PackageIndexHook: the URL of a Python package index with its login.

Decides how it is put together from a connection. Used by PythonVirtualenvOperator.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from dagdeck.exceptions import AirflowException
from dagdeck.hook import BaseHook


class PackageIndexHook(BaseHook):
    """The package index that connection `pi_conn_id` names: its host is the URL, login and password go into it."""

    conn_name_attr = "pi_conn_id"
    default_conn_name = "package_index_default"
    conn_type = "package_index"
    hook_name = "Package Index (Python)"

    def __init__(self, pi_conn_id: str = default_conn_name, **kwargs: str | None) -> None:
        super().__init__(**kwargs)
        self.pi_conn_id = pi_conn_id
        self.conn = self.get_connection(pi_conn_id)

    def get_conn(self) -> str:
        """The URL."""
        return self.get_connection_url()

    def get_connection_url(self) -> str:
        """The URL with the login in it. Raises AirflowException when the connection has no URL."""
        host = self.conn.host or ""
        if not host:
            raise AirflowException(
                f"Connection {self.pi_conn_id!r} has no host: put the package index's URL there, "
                "for example https://packages.example.com/simple"
            )
        if "://" not in host:
            scheme = self.conn.schema or "https"
            host = f"{scheme}://{host}"
        if not self.conn.login and not self.conn.password:
            return host
        parts = urlsplit(host)
        user = quote(self.conn.login or "", safe="")
        if self.conn.password:
            user += ":" + quote(self.conn.password, safe="")
        place = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{user}@{place}").geturl()
