"""What a program bundled with its own Python leaves in the environment, and how other programs get rid of it.

Decides which variables are put back or dropped. Does not read or change the process's environment: callers hand it over
when they start programs that do not belong to the bundle, users' Python first of all.
"""

from __future__ import annotations

from collections.abc import Mapping

_LIBRARY_PATHS = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH", "LIBPATH")
_KEPT_AS = "_ORIG"
"""The bundle's start code keeps a variable's former value under its name and this."""
_OWN_PREFIXES = ("_PYI_", "_MEI")


def original_environment(environ: Mapping[str, str], bundle: str | None) -> dict[str, str]:
    """`environ` as it was before the bundled program in the folder `bundle` started; a copy when that is None.

    Harmless when repeated. A library path that does not lead into the bundle is somebody else's and stays.
    """
    found = dict(environ)
    if bundle is None:
        return found
    for name in _LIBRARY_PATHS:
        former = found.pop(name + _KEPT_AS, None)
        if bundle in found.get(name, "").split(":"):
            del found[name]
            if former:
                found[name] = former
    return {name: value for name, value in found.items() if not name.startswith(_OWN_PREFIXES)}
