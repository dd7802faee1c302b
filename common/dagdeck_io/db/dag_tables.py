"""Tables of DAGs and their code, written by the DAG processor.

Decides their columns, keys and indexes. Joined by tables.py, through which everyone reads them.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Double, Index, Integer, PrimaryKeyConstraint, String, UniqueConstraint

from dagdeck_io.db.columns import NAME, PATH, count_, flag_, id_, name_, table_, time_
from dagdeck_io.db.types import JsonText, SpecBlob, long_blob, long_text

# ------------------------------------------------------------------ DAGs and their code (DAG processor)

dag = table_(
    "dag",
    name_("dag_id", primary_key=True),
    name_("dag_display_name"),
    Column("description", long_text()),
    Column("fileloc", String(2000), nullable=False, default=""),  # relative to the bundle's root
    name_("bundle_name", nullable=False),
    Column("bundle_version", String(64), nullable=False),
    id_("version_id", nullable=False),  # the newest version
    count_("version_number", 1),
    flag_("is_paused"),
    flag_("is_stale"),
    flag_("has_import_errors"),
    flag_("has_task_concurrency_limits"),
    flag_("has_asset_schedule"),
    Column("owners", JsonText()),  # list of names, sorted
    Column("timetable_type", String(NAME)),
    Column("timetable_summary", String(1000)),
    Column("timetable_description", String(1000)),
    flag_("timetable_periodic"),
    flag_("timetable_partitioned"),
    Column("allowed_run_types", JsonText()),
    count_("max_active_runs", 16),
    count_("max_active_tasks", 16),
    count_("max_consecutive_failed_dag_runs"),
    # The scheduler's: when it runs next, and the newest automated run's data interval.
    time_("next_run_after"),
    time_("next_interval_start"),
    time_("next_interval_end"),
    time_("last_interval_start"),
    time_("last_interval_end"),
    count_("consecutive_failures"),
    # Changes with each change by the DAG processor or a person (`dag_revisions()`).
    Column("revision", sa.BigInteger(), nullable=False, default=1),
    time_("created_at", nullable=False),
    time_("last_parsed_time"),
    Column("last_parse_duration", Double()),
    time_("last_expired"),
    Column("asked_runs", JsonText()),  # `AskedRuns`, of a timetable that is code of the author's
)

dag_tag = table_(
    "dag_tag",
    name_("dag_id"),
    Column("name", String(100), nullable=False),
    PrimaryKeyConstraint("dag_id", "name"),
    Index(None, "name"),
)

dag_version = table_(
    "dag_version",
    id_("version_id", primary_key=True),
    name_("dag_id", nullable=False),
    count_("version_number", 1),
    name_("bundle_name", nullable=False),
    Column("bundle_version", String(64), nullable=False),
    Column("spec_sha256", String(64), nullable=False),
    Column("code_sha256", String(64), nullable=False),  # of all that the DAG's code may read
    Column("spec", SpecBlob(), nullable=False),
    time_("created_at", nullable=False),
    UniqueConstraint("dag_id", "version_number"),
)

bundle = table_(
    "bundle",
    id_("bundle_id", primary_key=True),
    name_("name", nullable=False),
    Column("version", String(64), nullable=False),
    count_("file_count"),
    Column("total_size", sa.BigInteger(), nullable=False, default=0),
    time_("created_at", nullable=False),
    time_("published_at"),  # when the DAG processor last made it the current one
    UniqueConstraint("name", "version"),
)

bundle_file = table_(
    "bundle_file",
    id_("bundle_id"),
    Column("path", String(PATH), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", sa.BigInteger(), nullable=False),
    flag_("executable"),
    PrimaryKeyConstraint("bundle_id", "path"),
    Index(None, "sha256"),
)

bundle_content = table_(
    "bundle_content",
    Column("sha256", String(64), primary_key=True),
    Column("size", sa.BigInteger(), nullable=False),  # of the file, before compression
    Column("encoding", String(16), nullable=False),  # "zlib" or "raw"
    Column("data", long_blob(), nullable=False),
    time_("created_at", nullable=False),
)

bundle_signature = table_(
    "bundle_signature",
    id_("bundle_id"),
    Column("public_key", String(64), nullable=False),  # Ed25519, base64
    Column("signature", String(128), nullable=False),
    time_("created_at", nullable=False),
    PrimaryKeyConstraint("bundle_id", "public_key"),
)

bundle_key_succession = table_(
    "bundle_key_succession",
    Column("old_key", String(64), nullable=False),
    Column("new_key", String(64), nullable=False),
    Column("signature", String(128), nullable=False),  # by the old key
    time_("created_at", nullable=False),
    PrimaryKeyConstraint("old_key", "new_key"),
)

import_error = table_(
    "import_error",
    id_("import_error_id", primary_key=True),
    name_("bundle_name", nullable=False),
    Column("bundle_version", String(64)),
    Column("filename", String(PATH), nullable=False),
    Column("line", Integer()),
    Column("message", long_text()),
    Column("stack_trace", long_text()),
    time_("timestamp", nullable=False),
    UniqueConstraint("bundle_name", "filename"),
)

dag_warning = table_(
    "dag_warning",
    name_("dag_id"),
    Column("warning_type", String(50), nullable=False),
    Column("message", long_text(), nullable=False),
    time_("timestamp", nullable=False),
    PrimaryKeyConstraint("dag_id", "warning_type"),
)

parse_request = table_(  # written by the API, deleted by the DAG processor
    "parse_request",
    id_("parse_request_id", primary_key=True),
    name_("bundle_name", nullable=False),
    Column("filename", String(2000), nullable=False),
    time_("requested_at", nullable=False),
)
