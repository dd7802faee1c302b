"""Params: values of a run that people may set, each checked against its JSON schema.

Decides when a value is valid and what is said when it is not. Does not decide who gives the value
(conf of a run, a trigger form). Used by DAG authors, by the serialiser and when a task starts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from functools import lru_cache
from typing import Any

from dagdeck.exceptions import ParamValidationError, invalid
from dagdeck.xcom_arg import NOTSET, ArgNotSet


class Param:
    """One param: a default (NOTSET: a value is required), a description, and JSON schema keywords.

    Raises ParamValidationError when the default cannot be written as JSON.
    """

    def __init__(self, default: Any = NOTSET, description: str | None = None, **schema: Any) -> None:
        # A ready schema may come as one argument, as serialised params have it.
        self.schema: dict[str, Any] = dict(schema.pop("schema", None) or {}) | schema
        self.description = description
        self.value = default
        self._check_json(default)

    @property
    def has_value(self) -> bool:
        """Whether there is a default or a value was set."""
        return not isinstance(self.value, ArgNotSet)

    def resolve(self, value: Any = NOTSET, suppress_exception: bool = False) -> Any:
        """Set and return the value, after checking it; without an argument, the default.

        Raises ParamValidationError, or returns None if `suppress_exception`, when there is none or it is invalid.
        """
        candidate = self.value if isinstance(value, ArgNotSet) else value
        problem = "it has no value and no default" if isinstance(candidate, ArgNotSet) else self._problem(candidate)
        if problem is not None:
            if suppress_exception:
                return None
            raise ParamValidationError(problem)
        self.value = candidate
        return candidate

    def dump(self) -> dict[str, Any]:
        """The param as a plain dict, as the REST API shows it."""
        value = self.value if self.has_value else None
        return {"value": value, "description": self.description, "schema": self.schema}

    def __copy__(self) -> Param:
        twin = Param(description=self.description)
        twin.schema = dict(self.schema)
        twin.value = self.value
        return twin

    def __repr__(self) -> str:
        return f"Param({self.value!r})"

    def _problem(self, value: Any) -> str | None:
        try:
            self._check_json(value)
            if not self.schema:
                return None
            validator = _validator(json.dumps(self.schema))
        except ParamValidationError as error:
            return str(error)
        problems = sorted(validator.iter_errors(value), key=lambda found: list(map(str, found.path)))
        if not problems:
            return None
        place = "".join(f"[{step!r}]" for step in problems[0].absolute_path)
        return f"{problems[0].message}{' at ' + place if place else ''} (schema: {json.dumps(self.schema)})"

    @staticmethod
    def _check_json(value: Any) -> None:
        if isinstance(value, (ArgNotSet, str, int, float, bool)) or value is None:
            return
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise ParamValidationError(f"a param's value must be JSON, {value!r} is not: {error}") from error


class ParamsDict(MutableMapping[str, Any]):
    """Params by name. Reading one gives its value, checked; plain values are wrapped when set."""

    def __init__(self, dict_obj: Mapping[str, Any] | None = None, suppress_exception: bool = False) -> None:
        self._params: dict[str, Param] = {}
        self.suppress_exception = suppress_exception
        if dict_obj is not None:
            self.update(dict_obj)

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a Param, or the value of one that is there (checked). Raises ParamValidationError."""
        if not isinstance(key, str):
            raise invalid("the name of a param is text", field="params", value=key)
        if isinstance(value, Param):
            self._params[key] = value
        elif key in self._params:
            # The definition stays shared with the DAG, so the changed one is a copy.
            param = self._params[key].__copy__()
            self._resolve(key, param, value)
            self._params[key] = param
        else:
            self._params[key] = Param(value)

    def __getitem__(self, key: str) -> Any:
        """The value. Raises KeyError for an unknown name, ParamValidationError for an invalid value."""
        return self._resolve(key, self._params[key], NOTSET)

    def __delitem__(self, key: str) -> None:
        del self._params[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def __contains__(self, key: object) -> bool:
        return key in self._params

    def __repr__(self) -> str:
        return f"ParamsDict({self._params!r})"

    def update(self, other: Any = (), /, **values: Any) -> None:
        """Set several; from another ParamsDict its Params are taken with their schemas."""
        if isinstance(other, ParamsDict):
            other = other._params
        super().update(other, **values)

    def get_param(self, key: str) -> Param:
        """The Param itself, with its schema. Raises KeyError."""
        return self._params[key]

    def items_as_params(self) -> Iterator[tuple[str, Param]]:
        """All names with their Params."""
        return iter(self._params.items())

    def dump(self) -> dict[str, Any]:
        """All values, checked. Raises ParamValidationError naming the first invalid one."""
        return {key: self[key] for key in self._params}

    def validate(self) -> dict[str, Any]:
        """As `dump`."""
        return self.dump()

    def _resolve(self, key: str, param: Param, value: Any) -> Any:
        try:
            return param.resolve(value, suppress_exception=self.suppress_exception)
        except ParamValidationError as error:
            raise ParamValidationError(f"param {key!r}: {error}") from error


class DagParam:
    """A param of a DAG, to be given to an operator's template field: its value when the task runs."""

    template_fields: tuple[str, ...] = ()

    def __init__(self, current_dag: Any, name: str, default: Any = NOTSET) -> None:
        if not isinstance(default, ArgNotSet):
            current_dag.params[name] = default
        self.name = name

    def resolve(self, context: Mapping[str, Any]) -> Any:
        """The value in the run of `context`. Raises UserError when the run has no such param."""
        params = context["params"]
        if self.name in params:
            return params[self.name]
        raise invalid(f"this run has no param {self.name!r}", field="params")


def merged_params(dag: Any, task: Any, conf: Mapping[str, Any] | None) -> dict[str, Any]:
    """The params of one task instance: the DAG's, the task's over them, the run's conf over both, checked.

    Raises ParamValidationError naming the param, its value and the schema.
    """
    own = task.params if task is not None else dag.params
    if not own and not conf:
        return {}
    params = ParamsDict(own)
    if conf:
        params.update(conf)
    return params.validate()


@lru_cache(maxsize=512)
def _validator(schema_json: str) -> Any:
    """A validator for one schema. Raises ParamValidationError when the schema itself is wrong."""
    import jsonschema

    schema = json.loads(schema_json)
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ParamValidationError(f"the schema is wrong: {error.message} (schema: {schema_json})") from error
    return jsonschema.Draft202012Validator(schema, format_checker=_format_checker())


@lru_cache(maxsize=1)
def _format_checker() -> Any:
    """jsonschema's checks of `format`, with those that need no further package added."""
    from datetime import datetime, time

    from jsonschema import FormatChecker

    checker = FormatChecker()

    @checker.checks("date-time", raises=ValueError)
    def is_date_time(value: object) -> bool:
        if isinstance(value, str) and datetime.fromisoformat(value).utcoffset() is None:
            raise ValueError("a date-time needs its offset from UTC, for example 2026-01-31T00:00:00+00:00")
        return True

    @checker.checks("time", raises=ValueError)
    def is_time(value: object) -> bool:
        if isinstance(value, str):
            time.fromisoformat(value)
        return True

    return checker
