"""A trigger's conf against the DAG's params, as the control API answers.

Decides only the status of a refusal; what is acceptable is decided in `dagdeck_io.run_conf`. Called before a trigger
becomes an action.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagdeck_core.errors import UserError
from dagdeck_core.spec import ParamSpec
from dagdeck_io import run_conf
from dagdeck_master.api.errors import ApiProblem


def check_conf(params: Mapping[str, ParamSpec], conf: Mapping[str, Any]) -> None:
    """Raise ApiProblem 400 naming param, value and schema for the first param that is not satisfied."""
    try:
        run_conf.check_conf(params, conf)
    except UserError as error:
        raise ApiProblem(400, error.message) from None
