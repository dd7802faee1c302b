"""SmtpNotifier and `send_smtp_notification`: a callback that sends a mail.

Decides their arguments, which are those of Airflow's smtp provider, and what a mail says that was given no words.
How mail is sent is decided in `dagdeck.email_messages`. Given to on_*_callback arguments in DAG files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagdeck.context import Context
from dagdeck.email_messages import DEFAULT_CONNECTION, MailFields
from dagdeck.notifier import BaseNotifier

_SUBJECT = (
    "DAG {{ dag.dag_id }}, run {{ run_id }}{% if ti is defined %}: task {{ ti.task_id }} is {{ ti.state }}{% endif %}"
)
_CONTENT = (
    "DAG {{ dag.dag_id }}<br>\nRun {{ run_id }}<br>\n"
    "{% if ti is defined %}Task {{ ti.task_id }}, try {{ ti.try_number }}: {{ ti.state }}<br>\n{% endif %}"
    "{% if reason is defined %}Reason: {{ reason }}<br>\n{% endif %}"
    "{% if exception is defined %}Exception: {{ exception }}<br>\n{% endif %}"
)


class SmtpNotifier(MailFields, BaseNotifier):
    """Send a mail through the Connection `smtp_conn_id`."""

    template_fields: Sequence[str] = (
        "from_email",
        "to",
        "subject",
        "html_content",
        "files",
        "cc",
        "bcc",
        "mime_subtype",
        "mime_charset",
        "custom_headers",
    )

    def __init__(
        self,
        to: str | Iterable[str],
        from_email: str | None = None,
        subject: str | None = None,
        html_content: str | None = None,
        files: list[str] | None = None,
        cc: str | Iterable[str] | None = None,
        bcc: str | Iterable[str] | None = None,
        mime_subtype: str = "mixed",
        mime_charset: str = "utf-8",
        custom_headers: Mapping[str, Any] | None = None,
        smtp_conn_id: str = DEFAULT_CONNECTION,
        auth_type: str = "basic",
        *,
        template: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.smtp_conn_id = smtp_conn_id
        self.auth_type = auth_type
        self._keep_mail(
            to=to,
            subject=subject or _SUBJECT,
            html_content=html_content or template or _CONTENT,
            from_email=from_email,
            files=files,
            cc=cc,
            bcc=bcc,
            mime_subtype=mime_subtype,
            mime_charset=mime_charset,
            custom_headers=custom_headers,
        )

    def notify(self, context: Context) -> None:
        """Send it."""
        self._send_mail(self.smtp_conn_id)


send_smtp_notification = SmtpNotifier
