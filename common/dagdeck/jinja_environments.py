"""The Jinja environment classes: sandboxed, giving text or native Python values.

Decides which attributes templates may touch: private ones with one underscore yes, those with two no.
Imported by `dagdeck.templating` when a template is really there, because Jinja takes time to import.
"""

from __future__ import annotations

from typing import Any

from jinja2.nativetypes import NativeEnvironment
from jinja2.sandbox import SandboxedEnvironment, is_internal_attribute


class _Access(SandboxedEnvironment):
    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may read `attr` of `obj`."""
        return not (attr.startswith("__") or is_internal_attribute(obj, attr))


class TextEnvironment(_Access):
    """Renders to text."""


class NativeValueEnvironment(NativeEnvironment):
    """Renders to native Python values: `{{ params.n }}` of a number is a number."""


def environment_class(native: bool) -> Any:
    """The class for a DAG with or without render_template_as_native_obj."""
    return NativeValueEnvironment if native else TextEnvironment
