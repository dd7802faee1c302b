"""`@dag`: a function whose calls make a DAG.

Decides how the function's parameters become params of the DAG. Used in DAG files.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from dagdeck.dags import DAG
from dagdeck.exceptions import InvalidArguments, invalid
from dagdeck.xcom_arg import XComArg


def dag(
    dag_id_or_callable: str | Callable[..., Any] | None = None, /, dag_id: str | None = None, **arguments: Any
) -> Any:
    """Make a DAG of the tasks that the function makes; the function's name is the default dag_id.

    Takes all arguments of DAG. Each parameter of the function is a param of the DAG, with the same default; what
    it is given inside the function can be passed to tasks. Calling the function makes and returns the DAG.
    """
    if isinstance(dag_id_or_callable, str):
        dag_id = dag_id_or_callable
    elif dag_id_or_callable is not None and not callable(dag_id_or_callable):
        raise invalid("@dag decorates a function", value=dag_id_or_callable, error=InvalidArguments)

    def decorate(function: Callable[..., Any]) -> Callable[..., DAG]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def make(*args: Any, **kwargs: Any) -> DAG:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            options = dict(arguments)
            if not options.get("doc_md"):
                options["doc_md"] = function.__doc__
            with DAG(dag_id or function.__name__, **options) as made:
                made.fileloc = function.__code__.co_filename
                result = function(**{name: made.param(name, value) for name, value in bound.arguments.items()})
                if isinstance(result, XComArg):
                    made.add_result(result)
            return made

        return make

    return decorate(dag_id_or_callable) if callable(dag_id_or_callable) else decorate
