"""EmailOperator: a task that sends a mail.

Decides its arguments, which are Airflow's. How mail is sent is decided in `dagdeck.email_messages`. Used in DAG files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dagdeck.email_messages import MailFields
from dagdeck.operator import BaseOperator

if TYPE_CHECKING:
    from dagdeck.context import Context


class EmailOperator(MailFields, BaseOperator):
    """Send `html_content` to `to`, with the files named in `files` attached."""

    template_fields: ClassVar[Sequence[str]] = ("to", "subject", "html_content", "from_email", "files", "cc", "bcc")
    template_fields_renderers: ClassVar[Mapping[str, str]] = {"html_content": "html"}
    template_ext: Sequence[str] = (".html",)
    ui_color: str = "#e6faf9"

    def __init__(
        self,
        *,
        to: str | Iterable[str],
        subject: str | None = None,
        html_content: str | None = None,
        from_email: str | None = None,
        files: Sequence[str] | None = None,
        cc: str | Iterable[str] | None = None,
        bcc: str | Iterable[str] | None = None,
        mime_subtype: str = "mixed",
        mime_charset: str = "utf-8",
        conn_id: str | None = None,
        custom_headers: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._keep_mail(
            to=to,
            subject=subject or "",
            html_content=html_content or "",
            from_email=from_email,
            files=files,
            cc=cc,
            bcc=bcc,
            mime_subtype=mime_subtype,
            mime_charset=mime_charset,
            custom_headers=custom_headers,
        )
        self.conn_id = conn_id

    def execute(self, context: Context) -> None:
        """Send it."""
        self._send_mail(self.conn_id)
