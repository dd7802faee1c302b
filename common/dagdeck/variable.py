"""Variable: named values that people set for DAGs.

Decides how they are read and written from user code, as text or JSON. Does not store them: questions
go through `dagdeck.runtime` to the process that holds the database. Used in tasks and as `var` in templates.
"""

from __future__ import annotations

import json
from typing import Any

from dagdeck import runtime
from dagdeck.deprecation import warn_deprecated
from dagdeck.exceptions import AirflowException, VariableNotFound
from dagdeck.secrecy import is_sensitive_name
from dagdeck.secrets_backends import find_variable
from dagdeck.xcom_arg import NOTSET, ArgNotSet


class Variable:
    """Reads and writes Variables; all methods are static."""

    @staticmethod
    def get(key: str, default: Any = NOTSET, deserialize_json: bool = False, *, default_var: Any = NOTSET) -> Any:
        """The value of Variable `key`, parsed as JSON if asked; `default` when there is none.

        Raises VariableNotFound when there is neither, AirflowException for text that is not JSON.
        """
        if not isinstance(default_var, ArgNotSet):
            warn_deprecated("the argument default_var of Variable.get", "Write default= instead.")
            default = default_var
        text = find_variable(key)
        if text is None:
            text = _ask(key, default)
        if text is None:
            if isinstance(default, ArgNotSet):
                raise VariableNotFound(
                    f"there is no Variable {key!r}; set it with `dagdeck variables set {key} VALUE`, "
                    "or give Variable.get a default"
                )
            return default
        if is_sensitive_name(key):
            runtime.mask_secret(text)
        if not deserialize_json:
            return text
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise AirflowException(f"Variable {key!r} does not hold JSON: {error}") from error
        runtime.mask_secret(value, key)
        return value

    @staticmethod
    def set(key: str, value: Any, description: str | None = None, serialize_json: bool = False) -> None:
        """Set Variable `key` to `value`, as JSON if asked, else as text. Raises AirflowException outside a task."""
        text = json.dumps(value, indent=2) if serialize_json else str(value)
        arguments = {"key": key, "value": text, "description": description}
        _requests("set").request("variable_set", arguments)

    @classmethod
    def setdefault(cls, key: str, default: Any, description: str | None = None, deserialize_json: bool = False) -> Any:
        """The value of Variable `key`; where there is none it is set to `default` first (as JSON if asked)."""
        found = cls.get(key, default=None, deserialize_json=deserialize_json)
        if found is not None:
            return found
        cls.set(key, default, description=description, serialize_json=deserialize_json)
        return default

    @classmethod
    def update(cls, key: str, value: Any, serialize_json: bool = False) -> None:
        """Change Variable `key`, which has to be there. Raises VariableNotFound when it is not."""
        cls.get(key)
        cls.set(key, value, serialize_json=serialize_json)

    @staticmethod
    def delete(key: str) -> None:
        """Delete Variable `key`; nothing happens when there is none. Raises AirflowException outside a task."""
        try:
            _requests("delete").request("variable_delete", {"key": key})
        except runtime.NotFound:
            pass


def _ask(key: str, default: Any) -> str | None:
    requests = runtime.current_requests()
    if requests is None:
        if isinstance(default, ArgNotSet):
            raise AirflowException(
                f"Variable {key!r} cannot be read while a DAG file is being loaded; read it inside a task, "
                f"in a template ({{{{ var.value.{key} }}}}), or give Variable.get a default"
            )
        return None
    try:
        text = requests.request("variable_get", {"key": key})
    except runtime.NotFound:
        return None
    return None if text is None else str(text)


def _requests(verb: str) -> runtime.Requests:
    requests = runtime.current_requests()
    if requests is None:
        raise AirflowException(f"a Variable can be {verb} only while a task is running")
    return requests
