"""Small functions of `airflow.utils` that DAG files and provider packages call.

Decides what each returns, as Airflow does. Found through the table.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import os
import random
import re
import secrets
import socket
import string
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from dagdeck.exceptions import AirflowException
from dagdeck.keys import check_key
from dagdeck.xcom_arg import ArgNotSet

if TYPE_CHECKING:
    import jinja2

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_TRUE = {"on", "t", "true", "y", "yes", "1"}
_CAPITALS = re.compile(r"(?!^)([A-Z]+)")
TemporaryDirectory = tempfile.TemporaryDirectory


def _is_given(value: object) -> bool:
    return not isinstance(value, ArgNotSet) and bool(value)


def exactly_one(*args: Any) -> bool:
    """Whether one of the values is true and no other."""
    return sum(map(_is_given, args)) == 1


def at_most_one(*args: Any) -> bool:
    """Whether not more than one of the values is true."""
    return sum(map(_is_given, args)) <= 1


def prune_dict(val: Any, mode: str = "strict") -> Any:
    """A container without what is None ("strict") or false ("truthy"), at every depth. Raises ValueError."""
    if mode not in ("strict", "truthy"):
        raise ValueError(f"there is no mode {mode!r}; use strict or truthy")

    def is_empty(value: Any) -> bool:
        return value is None if mode == "strict" else not bool(value)

    def pruned(value: Any) -> Any:
        return prune_dict(value, mode) if isinstance(value, (dict, list)) else value

    if isinstance(val, dict):
        kept = {key: pruned(item) for key, item in val.items() if not is_empty(item)}
        return {key: item for key, item in kept.items() if not is_empty(item) and item != {}}
    if isinstance(val, list):
        return [item for item in (pruned(item) for item in val if not is_empty(item)) if not is_empty(item)]
    return val


def merge_dicts(dict1: Mapping[str, Any], dict2: Mapping[str, Any]) -> dict[str, Any]:
    """Both dicts in one, the second over the first, dicts inside merged likewise."""
    merged = dict(dict1)
    for key, value in dict2.items():
        both = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = merge_dicts(merged[key], value) if both else value
    return merged


def chunks(items: list[T], chunk_size: int) -> Iterator[list[T]]:
    """The list in pieces of at most `chunk_size`. Raises ValueError for a size that is not positive."""
    if chunk_size <= 0:
        raise ValueError("Chunk size must be a positive integer")
    for start in range(0, len(items), chunk_size):
        yield items[start : start + chunk_size]


def is_container(obj: Any) -> bool:
    """Whether the value can be iterated and is no text."""
    return hasattr(obj, "__iter__") and not isinstance(obj, str)


def as_tuple(obj: Any) -> tuple[Any, ...]:
    """A container's items, or the value alone, as a tuple."""
    return tuple(obj) if is_container(obj) else (obj,)


def validate_key(k: str, max_length: int = 250) -> None:
    """Raises AirflowException unless the text may be an id."""
    try:
        check_key(k, subject="key", field="key")
    except Exception as error:
        raise AirflowException(str(error)) from error
    if len(k) > max_length:
        raise AirflowException(f"The key has to be less than {max_length} characters")


def convert_camel_to_snake(camel_str: str) -> str:
    """`OneTwo` as `one_two`."""
    return _CAPITALS.sub(r"_\1", camel_str).lower()


def parse_template_string(template_string: str) -> tuple[str | None, jinja2.Template | None]:
    """The text and no template, or no text and its template, when there is one in it."""
    if "{{" not in template_string:
        return template_string, None
    import jinja2

    return None, jinja2.Template(template_string)


def render_template_to_string(template: jinja2.Template, context: Mapping[str, Any]) -> str:
    """The template rendered."""
    from dagdeck.templating import render_template

    return str(render_template(template, context))


def to_boolean(astring: str | None) -> bool:
    """Whether a text says yes."""
    return astring is not None and astring.lower() in _TRUE


def get_random_string(length: int = 8, choices: str = string.ascii_letters + string.digits) -> str:
    """A text of random characters; no secret."""
    return "".join(random.choices(choices, k=length)) if choices else secrets.token_hex(length)[:length]


def get_hostname() -> str:
    """This machine's name."""
    return socket.getfqdn()


def getfqdn(name: str = "") -> str:
    """The full name of a machine; of this one for ""."""
    return socket.getfqdn(name)


def get_host_ip_address() -> str:
    """An address of this machine."""
    return socket.gethostbyname(get_hostname())


def getuser() -> str:
    """The user's name. Raises AirflowException when the system does not know it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise AirflowException("this system does not know the name of the user") from error


def is_tty() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


IS_WINDOWS = sys.platform == "win32"


def md5(data: bytes = b"") -> Any:
    """A checksum that protects nothing."""
    return hashlib.md5(data, usedforsecurity=False)


@contextmanager
def patch_environ(new_env_variables: Mapping[str, str]) -> Iterator[None]:
    """Within the block, the environment has these variables as well."""
    before = {name: os.environ.get(name) for name in new_env_variables}
    os.environ.update(new_env_variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def as_flattened_list(iterable: Iterable[Iterable[T]]) -> list[T]:
    """The items of the items."""
    return [item for items in iterable for item in items]


def partition(pred: Callable[[T], bool], iterable: Iterable[T]) -> tuple[Iterator[T], Iterator[T]]:
    """The items for which `pred` is false, and those for which it is true."""
    items = list(iterable)
    return iter([item for item in items if not pred(item)]), iter([item for item in items if pred(item)])


def get_email_address_list(addresses: str | Iterable[str]) -> list[str]:
    """Addresses given as a text with commas or semicolons, or one by one."""
    from dagdeck.email_messages import addresses as split

    return split(addresses)


def make_kwargs_callable(function: Callable[..., T]) -> Callable[..., T]:
    """The function, called with those keyword arguments that it has parameters for."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> T:
        from dagdeck.airflow_layer.keyword_parameters import determine_kwargs

        return function(*args, **determine_kwargs(function, args, kwargs))

    return call


def expand_env_var(env_var: str | None) -> str | None:
    """A path with its variables and `~` resolved, as often as that changes something."""
    while env_var:
        expanded = os.path.expanduser(os.path.expandvars(str(env_var)))
        if expanded == env_var:
            break
        env_var = expanded
    return env_var


def mkdirs(path: str, mode: int) -> None:
    """Make a folder with its parents."""
    os.makedirs(path, mode=mode, exist_ok=True)


def apply_defaults(function: F) -> F:
    """The function itself: default_args reach operators by other means."""
    return function


def execute_in_subprocess(cmd: list[str], cwd: str | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a command and log what it prints. Raises CalledProcessError when it fails."""
    import logging

    log = logging.getLogger(__name__)
    log.info("Executing cmd: %s", " ".join(cmd))
    with subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd, env=env) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.info("%s", line.decode(errors="backslashreplace").rstrip())
        code = process.wait()
    if code != 0:
        raise subprocess.CalledProcessError(code, cmd)
