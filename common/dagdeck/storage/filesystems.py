"""File systems for object storage paths: which fsspec file system a protocol means, and its login.

Decides how a Connection becomes fsspec's storage options, and keeps what was attached under a name. Does not know paths
(`dagdeck.storage.path`). Used by ObjectStoragePath and in DAG files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dagdeck.connection import Connection
from dagdeck.exceptions import AirflowException, invalid

LOCAL = frozenset({"file", "local"})

_attached: dict[str, Any] = {}

Options = dict[str, Any]


def attach(
    protocol: str | None = None,
    conn_id: str | None = None,
    *,
    encryption_type: str | None = "",
    storage_options: Mapping[str, Any] | None = None,
    fs: Any = None,
    alias: str | None = None,
) -> Any:
    """Have paths of `protocol` (or with the protocol `alias`) use this file system; the file system.

    It is `fs`, or made of the protocol, a Connection and options. Raises UserError when there is neither.
    """
    if fs is None:
        if protocol is None:
            raise invalid("attach needs a protocol or a file system", field="protocol")
        fs = get_fs(protocol, conn_id, storage_options)
    names = fs.protocol if isinstance(fs.protocol, (tuple, list)) else (fs.protocol,)
    for name in (alias,) if alias else ((protocol,) if protocol else names):
        _attached[name] = fs
    return fs


def has_fs(scheme: str) -> bool:
    """Whether there is a file system for a protocol."""
    import fsspec

    return scheme in _attached or scheme in fsspec.available_protocols()


def get_fs(scheme: str, conn_id: str | None = None, storage_options: Mapping[str, Any] | None = None) -> Any:
    """The file system of a protocol with the login of a Connection.

    Raises AirflowException for an unknown protocol or one whose package is missing, AirflowNotFoundException for an
    unknown Connection.
    """
    import fsspec

    if conn_id is None and not storage_options and scheme in _attached:
        return _attached[scheme]
    options = {} if conn_id is None else options_of(scheme, Connection.get(conn_id))
    options.update(storage_options or {})
    try:
        return fsspec.filesystem(scheme, **options)
    except ValueError as error:
        raise AirflowException(f"there is no file system for {scheme}:// ({error})") from error
    except ImportError as error:
        raise AirflowException(f"the file system for {scheme}:// is not installed on this worker: {error}") from error


def options_of(scheme: str, connection: Connection) -> Options:
    """fsspec's storage options of a Connection.

    `storage_options` in its extra are taken as they are, over what follows from its login, host and known extras.
    For a protocol that is not known here, the whole extra is.
    """
    extra = connection.extra_dejson
    explicit = extra.pop("storage_options", {})
    known = _BY_PROTOCOL.get(scheme)
    found = known(connection, extra) if known is not None else dict(extra)
    return {**{name: value for name, value in found.items() if value not in (None, "", {})}, **explicit}


def _nothing(connection: Connection, extra: Options) -> Options:
    return {}


def _s3(connection: Connection, extra: Options) -> Options:
    client: Options = {"region_name": extra.get("region_name")}
    return {
        "key": connection.login or extra.get("aws_access_key_id"),
        "secret": connection.password or extra.get("aws_secret_access_key"),
        "token": extra.get("aws_session_token"),
        "profile": extra.get("profile_name"),
        "endpoint_url": extra.get("endpoint_url") or extra.get("host"),
        "anon": extra.get("anon"),
        "client_kwargs": {name: value for name, value in client.items() if value},
    }


def _gcs(connection: Connection, extra: Options) -> Options:
    return {
        "project": extra.get("project"),
        "token": extra.get("key_path") or extra.get("keyfile_dict") or extra.get("token"),
        "endpoint_url": extra.get("endpoint_url"),
    }


def _azure(connection: Connection, extra: Options) -> Options:
    return {
        "account_name": connection.login or extra.get("account_name"),
        "account_key": connection.password or extra.get("account_key"),
        "account_host": connection.host,
        **{name: extra.get(name) for name in ("connection_string", "sas_token", "tenant_id", "client_id")},
        "client_secret": extra.get("client_secret"),
    }


def _server(connection: Connection, extra: Options) -> Options:
    return {
        "host": connection.host,
        "port": connection.port,
        "username": connection.login,
        "password": connection.password,
        **extra,
    }


def _http(connection: Connection, extra: Options) -> Options:
    headers = extra.pop("headers", None)
    client = {"headers": headers} if headers else {}
    return {"client_kwargs": client, **extra}


_BY_PROTOCOL: Mapping[str, Callable[[Connection, Options], Options]] = {
    **dict.fromkeys(("file", "local", "memory"), _nothing),
    **dict.fromkeys(("s3", "s3a"), _s3),
    **dict.fromkeys(("gs", "gcs"), _gcs),
    **dict.fromkeys(("abfs", "abfss", "adl", "az"), _azure),
    **dict.fromkeys(("ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs"), _server),
    **dict.fromkeys(("http", "https"), _http),
}
