"""The operators behind `@task.virtualenv`, `@task.external_python` and their branches.

Decides nothing: each joins a decorated function with its operator. Imported when one of these decorators is used,
since most DAG files use none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dagdeck.decorators.operators import _PythonDecoratedOperator
from dagdeck.operators.python_virtualenv import (
    BranchExternalPythonOperator,
    BranchPythonVirtualenvOperator,
    ExternalPythonOperator,
    PythonVirtualenvOperator,
)


class _PythonVirtualenvDecoratedOperator(_PythonDecoratedOperator, PythonVirtualenvOperator):
    """Calls the decorated function in a virtual environment."""

    custom_operator_name = "@task.virtualenv"
    template_fields: ClassVar[Sequence[str]] = PythonVirtualenvOperator.template_fields


class _PythonExternalDecoratedOperator(_PythonDecoratedOperator, ExternalPythonOperator):
    """Calls the decorated function in another interpreter."""

    custom_operator_name = "@task.external_python"
    template_fields: ClassVar[Sequence[str]] = ExternalPythonOperator.template_fields


class _BranchPythonVirtualenvDecoratedOperator(_PythonDecoratedOperator, BranchPythonVirtualenvOperator):
    """Calls the decorated function in a virtual environment and follows what it returns."""

    custom_operator_name = "@task.branch_virtualenv"
    template_fields: ClassVar[Sequence[str]] = BranchPythonVirtualenvOperator.template_fields


class _BranchExternalPythonDecoratedOperator(_PythonDecoratedOperator, BranchExternalPythonOperator):
    """Calls the decorated function in another interpreter and follows what it returns."""

    custom_operator_name = "@task.branch_external_python"
    template_fields: ClassVar[Sequence[str]] = BranchExternalPythonOperator.template_fields
