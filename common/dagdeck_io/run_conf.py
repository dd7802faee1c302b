"""A trigger's conf against the DAG's params.

Decides whether a conf is acceptable: every param that has a JSON schema must satisfy it with the value of the conf, or
its default where the conf has none; a param without a default must be given. Keys that are no params pass, as in
Airflow. Called before a trigger becomes an action, by the control API for people and by workers for tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dagdeck_core.errors import UserError
from dagdeck_core.spec import ParamSpec

MAX_SHOWN = 200


def check_conf(params: Mapping[str, ParamSpec], conf: Mapping[str, Any]) -> None:
    """Raise UserError naming param, value and schema for the first param that is not satisfied."""
    for name, param in params.items():
        if name not in conf and not param.has_value:
            raise UserError(f"Param '{name}' is required: it has no default, and conf does not give it")
        if param.schema:
            _check_value(name, conf.get(name, param.value), param.schema)


def _check_value(name: str, value: Any, schema: Mapping[str, Any]) -> None:
    import jsonschema  # only DAGs with schemas need it

    try:
        checks = jsonschema.FormatChecker()
        jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator, format_checker=checks)
    except jsonschema.ValidationError as error:
        raise UserError(
            f"Invalid value {_shown(value)} for param '{name}': {error.message}. Its schema is {_shown(schema)}",
        ) from None
    except jsonschema.SchemaError as error:
        raise UserError(f"The schema of param '{name}' is not a valid JSON schema: {error.message}") from None


def _shown(value: Any) -> str:
    """`value` as JSON, cut where it is long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
