"""The control API's OpenAPI document as a contract: it is valid, and whatever is sent, no operation breaks.

Each operation gets odd values for its parameters and bodies, in several seeded rounds; an answer may be any kind of
refusal, but never a 500, and a good one has the shape that the document promises.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest

from tests.integration.api_cluster import ApiCluster, api_cluster

LEFT_OUT = ("stream_events", "wait_dag_run_until_finished", "revoke_own_token", "patch_user")
"""Streams without an end, and what would lock the test itself out."""
ODD_TEXTS = (
    "~",
    "a",
    "pipeline",
    "shared",
    "extract",
    "default_pool",
    "x" * 300,
    "💥",
    "%",
    "%00",
    "\x00",
    "'; DROP TABLE dag; --",
    "..",
    "a/b",
    "null",
    "2024-13-45",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59.999999+00:00",
    "-1",
    "0",
    "1",
    "9" * 30,
    "-" + "9" * 30,
    "1e400",
    "nan",
    "true",
    "",
)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    10**30,
    1.5,
    *ODD_TEXTS,
    [],
    ["a", None],
    [["load", 10**20]],
    {},
    {"a": {"b": []}},
    "2024-01-01T00:00:00Z",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiCluster]:
    overrides: dict[str, Any] = {"api.action_wait": 2.0}
    with api_cluster(tmp_path_factory.mktemp("home"), **overrides) as running:
        made = running.call("POST", "/api/v2/dags/pipeline/dagRuns", json={"dag_run_id": "shared"})
        assert made.status_code == 200
        yield running


@pytest.fixture(scope="module")
def document(cluster: ApiCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.http.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    for reference in references(document):
        assert reference.startswith("#/components/schemas/"), reference
        assert reference.rpartition("/")[2] in schemas, reference
    for name, schema in schemas.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert name


def test_every_operation_says_what_it_answers(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        good = [code for code in operation["responses"] if code.startswith("2")]
        assert len(good) == 1, (method, path)
        assert operation.get("summary"), (method, path)


@pytest.mark.parametrize("seed", range(6))
def test_odd_requests_are_refused_and_break_nothing(
    cluster: ApiCluster, document: dict[str, Any], seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(seed)
    for method, path, operation in operations(document):
        if operation["operationId"] in LEFT_OUT:
            continue
        url, arguments = odd_request(dice, document, path, operation)
        caplog.clear()
        answer = cluster.call(method, url, **arguments)
        assert answer.status_code not in (500, 503), (method, url, arguments, answer.text, caplog.text)
        if answer.status_code >= 400:
            assert answer.status_code in (404, 405) or "detail" in answer.json(), (method, url, answer.text)
        else:
            check_shape(document, operation, answer)
    assert cluster.call("GET", "/api/v2/monitor/health").json()["scheduler"]["status"] == "healthy"


def odd_request(
    dice: random.Random, document: dict[str, Any], path: str, operation: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """A URL and arguments in which about half of all values are odd."""
    query: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    for parameter in operation.get("parameters", ()):
        value = dice.choice(ODD_TEXTS)
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", quote(value or "x", safe="~"))
        elif parameter["in"] == "query" and dice.random() < 0.2:
            query.append((parameter["name"], value))
        elif parameter["in"] == "header" and dice.random() < 0.2 and value.isascii() and value.isprintable():
            headers[parameter["name"]] = value
    arguments: dict[str, Any] = {"params": query, "headers": headers}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        arguments["json"] = odd_body(dice, document, content["schema"])
    return path, arguments


def odd_body(dice: random.Random, document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """A body with the fields that the schema names, some of them odd, some missing."""
    if dice.random() < 0.1:
        return dice.choice(ODD_VALUES)
    name = schema["$ref"].rpartition("/")[2]
    properties = document["components"]["schemas"][name]["properties"]
    return {field: dice.choice(ODD_VALUES) for field in properties if dice.random() < 0.4}


def check_shape(document: dict[str, Any], operation: dict[str, Any], answer: Any) -> None:
    """The answer of a good request against the schema that the document gives for it."""
    promised = next(each for code, each in operation["responses"].items() if code.startswith("2"))
    content = promised.get("content", {}).get("application/json")
    if content is None or not answer.headers.get("content-type", "").startswith("application/json"):
        return
    if operation["operationId"] == "clear_dag_run":
        return  # either of two shapes, by dry_run
    schema = {**content["schema"], "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())
