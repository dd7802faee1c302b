"""Tasks that write secrets wherever a task can write; the secrets come from connections and variables."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from dagdeck import DAG, Param, Variable, get_current_context, task
from dagdeck.hook import BaseHook
from dagdeck.operators.bash import BashOperator

with DAG(
    "canaries",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    is_paused_upon_creation=False,
    params={"password": Param("none", type="string")},
):

    @task
    def tell() -> str:
        """Every way of writing text, and a return value."""
        connection = BaseHook.get_connection("canary_connection")
        secret = Variable.get("canary_password")
        environment = BaseHook.get_connection("from_environment").password
        for text in (connection.password, connection.get_uri(), secret, connection.extra, environment):
            print("printed", text)
            print("complained", text, file=sys.stderr)
            logging.getLogger("canary").warning("logged %s", text)
            os.write(1, f"written {text}\n".encode())
            subprocess.run(["echo", "echoed", str(text)], check=True)
        return "told"

    @task
    def fail() -> None:
        """An error that carries secrets."""
        connection = BaseHook.get_connection("canary_connection")
        raise RuntimeError(f"cannot sign in with {connection.password} and {Variable.get('canary_password')}")

    @task
    def render(text: Any) -> None:
        """A rendered argument."""
        print("rendered", text)

    @task
    def reveal() -> dict[str, Any]:
        """A value that holds secrets, and a sign by which its readers know that it came as it was."""
        connection = BaseHook.get_connection("canary_connection")
        return {
            "secret": connection.password,
            "uri": connection.get_uri(),
            "several": [connection.password, Variable.get("canary_password")],
            "digest": hashlib.sha256(str(connection.password).encode()).hexdigest(),
        }

    @task
    def hand_on(found: dict[str, Any]) -> list[str]:
        """Reads the value without asking for the connection, writes it, and returns it."""
        assert hashlib.sha256(found["secret"].encode()).hexdigest() == found["digest"]
        print("handed on", found["secret"], found["uri"])
        several: list[str] = found["several"]
        return several

    @task(map_index_template="{{ shown }}")
    def each(item: str) -> str:
        """Gets one of the values, and calls its instance by it."""
        get_current_context()["shown"] = item
        print("each", item)
        return item

    @task
    def by_param(params: dict[str, Any]) -> str:
        """A param whose name says what it is."""
        print("by param", params["password"])
        return str(params["password"])

    told = tell()
    told >> by_param()
    handed = hand_on(reveal())
    each.expand(item=handed)
    handed >> BashOperator(
        task_id="rendered_again", bash_command="echo {{ ti.xcom_pull(task_ids='reveal')['secret'] }}"
    )
    told >> fail()
    told >> render("{{ conn.canary_connection.password }} {{ var.value.canary_password }}")
    told >> BashOperator(
        task_id="shell",
        bash_command="echo shelled {{ conn.canary_connection.password }} $API_TOKEN",
        env={"API_TOKEN": "{{ var.value.canary_password }}"},
        append_env=True,
        do_xcom_push=False,
    )
