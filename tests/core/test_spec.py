"""The stored shape of a DAG: canonical JSON that reads back as what it was, and errors that say why it does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest

from dagdeck_core.errors import UserError
from dagdeck_core.spec import (
    SPEC_VERSION,
    DagSpec,
    LengthSpec,
    MappedSpec,
    ParamSpec,
    ReferenceSpec,
    TaskGroupSpec,
    TaskSpec,
    TriggerRule,
    decode_spec,
    encode_spec,
    params_in_order,
)
from dagdeck_core.timetables import CronDataIntervalSpec

FULL = DagSpec(
    dag_id="d",
    fileloc="dags/d.py",
    tags=("a", "b"),
    owner_links={"me": "mailto:me"},
    timetable=CronDataIntervalSpec(cron="0 5 * * *", timezone="Europe/Berlin"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    params={"n": ParamSpec(value=3, schema={"type": "integer"}), "needed": ParamSpec(has_value=False)},
    asset_expression={"all": [{"uri": "s3://x"}]},
    tasks=(
        TaskSpec(
            task_id="g.t",
            task_type="PythonOperator",
            group_id="g",
            trigger_rule=TriggerRule.NONE_FAILED,
            retry_delay=1.5,
            outlets=(ReferenceSpec(kind="asset", uri="s3://x"),),
            mapped=MappedSpec(kind="expand", inputs={"x": LengthSpec(length=3)}),
            template_values={"sql": "select 1", "n": [1, None, {"é": 2}]},
        ),
    ),
    groups=(TaskGroupSpec(group_id="g", label="G"),),
)


def test_it_reads_back_as_what_it_was() -> None:
    assert decode_spec(encode_spec(FULL)) == FULL
    small = DagSpec(dag_id="d", fileloc="d.py")
    assert decode_spec(encode_spec(small)) == small


def test_equal_specs_give_equal_bytes() -> None:
    """The bytes' hash is a version's identity, so the order in which dicts were filled must not matter."""
    other = msgspec.structs.replace(
        FULL,
        owner_links=dict(reversed(FULL.owner_links.items())),
        params=dict(reversed(FULL.params.items())),
    )
    assert encode_spec(other) == encode_spec(FULL)
    assert encode_spec(msgspec.structs.replace(FULL, description="x")) != encode_spec(FULL)


def test_defaults_are_not_written() -> None:
    written = json.loads(encode_spec(DagSpec(dag_id="d", fileloc="d.py")))
    assert written == {"dag_id": "d", "fileloc": "d.py"}


def test_a_spec_of_a_newer_dagdeck_is_named() -> None:
    newer = encode_spec(msgspec.structs.replace(FULL, spec_version=SPEC_VERSION + 1))
    with pytest.raises(UserError, match="written by a newer DagDeck") as raised:
        decode_spec(newer)
    assert raised.value.value == SPEC_VERSION + 1
    assert f"up to {SPEC_VERSION}" in raised.value.remedy


@pytest.mark.parametrize("data", [b"[]", b'{"dag_id": 5, "fileloc": "x"}', b'{"dag_id": "d"}'])
def test_what_is_no_spec(data: bytes) -> None:
    with pytest.raises(UserError, match="stored DAG spec cannot be read"):
        decode_spec(data)


def test_what_is_no_json() -> None:
    with pytest.raises(UserError, match="stored DAG spec cannot be read"):
        decode_spec(b'{"dag_id": ')


def test_fields_of_later_versions_are_passed_over() -> None:
    assert decode_spec(b'{"dag_id":"d","fileloc":"d.py","invented_later":1}').dag_id == "d"


def test_params_come_back_as_their_author_wrote_them() -> None:
    """JSON of a spec sorts names; a form must not."""
    params = {"zone": ParamSpec(value=1), "area": ParamSpec(value=2), "month": ParamSpec(value=3)}
    spec = DagSpec(dag_id="d", fileloc="d.py", params=params, param_order=("zone", "area", "month"))
    assert list(params_in_order(decode_spec(encode_spec(spec)))) == ["zone", "area", "month"]
    # A spec from before the order was kept, and one that names what there is not.
    assert list(params_in_order(msgspec.structs.replace(spec, param_order=()))) == ["zone", "area", "month"]
    assert list(params_in_order(msgspec.structs.replace(spec, param_order=("month", "gone")))) == [
        "month",
        "zone",
        "area",
    ]
