"""What `dagdeckd doctor` looks at in the metadata database: does it answer, is it ours, is it durable, how fast.

Decides from which values on something is worth telling. Called by `doctor.examine`.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa

from dagdeck_io.db import migrations
from dagdeck_io.db.engine import Database, open_database
from dagdeck_io.db.url import parse_url
from dagdeck_io.server_tls import is_remote
from dagdeck_io.settings import Settings
from dagdeckd.doctor.findings import Finding, failure, good, warning

AREA = "database"
SLOW = 0.005
"""Seconds of one round trip: every hop of a run makes several."""
SKEW = 2.0
"""Seconds by which two clocks may differ before people wonder; nothing in DagDeck compares them."""
OLDEST = {"mariadb": (10, 6), "mysql": (8, 0)}
ROUND_TRIPS = 20


def database(settings: Settings) -> Iterator[Finding]:
    """Everything about it, as far as it answers."""
    path = parse_url(settings.database.address).path
    if path is not None and not path.exists():
        yield warning(AREA, f"{path} does not exist yet", "The first start makes it, or `dagdeckd db upgrade`")
        return
    # Without the key: nothing encrypted is read.
    own = open_database(settings.database.address)
    try:
        with own.reading() as connection:
            if own.kind == "mysql":
                yield from _server(connection, own)
            else:
                (found,) = connection.exec_driver_sql("SELECT sqlite_version()").one()
                yield good(AREA, f"SQLite {found}, {own.name}")
            yield _speed(connection)
        migrations.check(settings.database.address)
        yield good(AREA, f"schema {migrations.HEAD}, as this version needs it")
        for text in own.check_durability():
            yield warning(AREA, text, "Change it in the server's configuration")
    finally:
        own.close()


def _server(connection: sa.Connection, own: Database) -> Iterator[Finding]:
    version, at, cipher = connection.exec_driver_sql(
        "SELECT VERSION(), UTC_TIMESTAMP(6), "
        "(SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_CIPHER')"
        if "mariadb" in str(connection.exec_driver_sql("SELECT VERSION()").scalar()).lower()
        else "SELECT VERSION(), UTC_TIMESTAMP(6), "
        "(SELECT VARIABLE_VALUE FROM performance_schema.session_status WHERE VARIABLE_NAME = 'Ssl_cipher')"
    ).one()
    now = datetime.now(UTC)
    yield _version(str(version))
    skew = abs((now - at.replace(tzinfo=UTC)).total_seconds())
    if skew > SKEW:
        yield warning(
            "clock", f"this machine's clock and the database's differ by {skew:.1f} s", "Run a time service (NTP)"
        )
    else:
        yield good("clock", f"within {SKEW:g} s of the database's")
    if cipher:
        checked = "" if own.url.is_encrypted else ", but the server's certificate is not verified"
        yield good(AREA, f"encrypted connection ({cipher}){checked}")
    elif is_remote(own.url.url.host):
        yield warning(
            AREA,
            f"plain connection to {own.url.url.host}: passwords' hashes and data can be read on the way",
            "Switch TLS on in the server and set database.tls_ca; see docs/tls.md",
        )
    else:
        yield good(AREA, "plain connection, which does not leave this machine")


def _version(text: str) -> Finding:
    kind = "mariadb" if "mariadb" in text.lower() else "mysql"
    numbers = tuple(int(number) for number in re.findall(r"\d+", text)[:2])
    if numbers < OLDEST[kind]:
        wanted = ".".join(map(str, OLDEST[kind]))
        return failure(AREA, f"the server is {kind} {text}", f"DagDeck needs {kind} {wanted} or newer")
    return good(AREA, f"{kind} {text}")


def _speed(connection: sa.Connection) -> Finding:
    taken = []
    for _ in range(ROUND_TRIPS):
        begun = time.perf_counter()
        connection.exec_driver_sql("SELECT 1").scalar()
        taken.append(time.perf_counter() - begun)
    median = statistics.median(taken)
    text = f"a round trip takes {median * 1000:.2f} ms"
    if median > SLOW:
        return warning(AREA, text, "Bring master, workers and database closer together: each hop makes several")
    return good(AREA, text)
