"""A DAG in whose bundle a plugin listens (see test_plugins.py)."""

from __future__ import annotations

from datetime import UTC, datetime

from dagdeck import DAG, Asset, task

with DAG("heard", start_date=datetime(2025, 1, 1, tzinfo=UTC), is_paused_upon_creation=False):

    @task(outlets=[Asset("heard", uri="s3://heard/it")])
    def speak(text: str) -> str:
        """What the plugin's macro has made of it."""
        return text

    speak("{{ macros.heard_tools.shout(dag.dag_id) }}")
