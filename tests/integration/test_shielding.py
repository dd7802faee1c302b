"""A daemon that is closed to tasks can still do to itself what it has to, as an ordinary user too."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, os
from dagdeck_worker import linux_calls
from dagdeckd.shielding import close_to_tasks

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
else:
    linux_calls.set_dumpable(True)
close_to_tasks()
reader, writer = os.pipe()
again = os.open(f"/proc/self/fd/{reader}", os.O_RDONLY | os.O_NONBLOCK)
os.write(writer, b"x")
facts = {"again": os.read(again, 1) == b"x", "statm": os.path.getsize("/proc/self/statm") == 0}
pid = os.fork()
if pid == 0:
    parent = os.getppid()
    code = 0
    for name in ("environ", "mem", "maps"):
        try:
            open(f"/proc/{parent}/{name}", "rb").read(1)
            code = 1
        except OSError:
            pass
    linux_calls.set_dumpable(True)
    open("/proc/self/comm", "w").write("runner")
    open("/proc/self/environ", "rb").read(1)
    os._exit(code)
facts["child"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps(facts))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such protection")
def test_closed_to_others_and_open_to_itself() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"again": True, "statm": True, "child": 0}
