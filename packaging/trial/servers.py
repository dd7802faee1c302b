"""MariaDB and Redis for a trial: as an administrator would have them, with TLS, passwords and their usual ports.

Decides names, ports and passwords, which are those of docs/administration.md. Runs in the clean system's network but
in this machine's files, as `nsenter --net … python servers.py FOLDER`: prints "ready", then runs each line of
standard input, SQL in JSON, and answers a line of JSON; ends with its input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.private_authority import PrivateAuthority
from tests.support.services import MariaDb, RedisServer, ServiceUnavailable

DATABASE_HOST, DATABASE_PORT = "db.example", 3306
QUEUE_HOST, QUEUE_PORT = "redis.example", 6380
QUEUE_PASSWORD = "change-me-too"
AUTHORITY_FILE = "authority.pem"


def main(folder: Path) -> None:
    """Serve until standard input ends."""
    authority = PrivateAuthority(folder)
    ours = authority.issue("servers", (DATABASE_HOST, QUEUE_HOST, "127.0.0.1"))
    of_database = (f"--ssl-ca={authority.file}", f"--ssl-cert={ours.certificate}", f"--ssl-key={ours.key}")
    of_queue = ("--tls-cert-file", str(ours.certificate), "--tls-key-file", str(ours.key),
                "--tls-ca-cert-file", str(authority.file), "--tls-auth-clients", "no")  # fmt: skip
    database = MariaDb(options=of_database)
    queue = RedisServer(password=QUEUE_PASSWORD, append_only=True, tls=of_queue)
    database.port, queue.port = DATABASE_PORT, QUEUE_PORT
    with database, queue:
        print("ready", flush=True)
        for line in sys.stdin:
            try:
                answer = {"ok": database.execute(json.loads(line))}
            except ServiceUnavailable as error:
                answer = {"failed": str(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
