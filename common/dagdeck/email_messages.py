"""Sending mail by SMTP: what `email=` of a task, EmailOperator and SmtpNotifier do.

Decides how a message is put together and where it is handed over: the Connection `smtp_default`, or the variables
AIRFLOW__SMTP__… of the worker's environment under Airflow's names. Runs in runners, which hold no credentials of
DagDeck's own. Called by `dagdeck_task.callbacks` and by operators and notifiers.
"""

from __future__ import annotations

import mimetypes
import os
import re
import smtplib
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagdeck.exceptions import AirflowException, AirflowNotFoundException

if TYPE_CHECKING:
    from dagdeck.context import Context

DEFAULT_CONNECTION = "smtp_default"
DEFAULT_FROM = "airflow@example.com"
ATTACHED_BYTES = 25 * 1024 * 1024
"""Most bytes of all attachments of one message."""
_PREFIX = "AIRFLOW__SMTP__"
_SEPARATORS = re.compile(r"[,;]\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed over."""

    host: str
    port: int = 25
    user: str | None = None
    password: str | None = None
    starttls: bool = True
    use_ssl: bool = False
    timeout: float = 30.0
    retry_limit: int = 5
    from_email: str = DEFAULT_FROM


def mail_server(conn_id: str | None = DEFAULT_CONNECTION) -> MailServer:
    """The server of this Connection, or else of the environment. Raises AirflowException when there is neither."""
    found = _of_connection(conn_id) if conn_id else None
    if found is None:
        found = _of_environment()
    if found is None:
        raise AirflowException(
            f"no mail server is known: make a Connection {conn_id or DEFAULT_CONNECTION!r} of the type smtp, "
            f"or set {_PREFIX}SMTP_HOST on the workers"
        )
    return found


def _of_connection(conn_id: str) -> MailServer | None:
    from dagdeck.connection import Connection

    try:
        conn = Connection.get(conn_id)
    except AirflowNotFoundException:
        return None
    if not conn.host:
        return None
    extra = conn.extra_dejson
    use_ssl = not _truth(extra.get("disable_ssl"), default=False)
    return MailServer(
        host=conn.host,
        port=conn.port or (465 if use_ssl else 25),
        user=conn.login,
        password=conn.password,
        starttls=not use_ssl and not _truth(extra.get("disable_tls"), default=False),
        use_ssl=use_ssl,
        timeout=float(extra.get("timeout") or 30),
        retry_limit=int(extra.get("retry_limit") or 5),
        from_email=str(extra.get("from_email") or DEFAULT_FROM),
    )


def _of_environment() -> MailServer | None:
    def value(name: str, default: str = "") -> str:
        return os.environ.get(_PREFIX + name, default)

    host = value("SMTP_HOST")
    if not host:
        return None
    return MailServer(
        host=host,
        port=int(value("SMTP_PORT", "25")),
        user=value("SMTP_USER") or None,
        password=value("SMTP_PASSWORD") or None,
        starttls=_truth(value("SMTP_STARTTLS"), default=True),
        use_ssl=_truth(value("SMTP_SSL"), default=False),
        timeout=float(value("SMTP_TIMEOUT", "30")),
        retry_limit=int(value("SMTP_RETRY_LIMIT", "5")),
        from_email=value("SMTP_MAIL_FROM", DEFAULT_FROM),
    )


def _truth(value: Any, *, default: bool) -> bool:
    if value in (None, ""):
        return default
    return str(value).strip().lower() in ("1", "true", "yes", "on", "t")


# ---------------------------------------------------------------- messages


def addresses(value: str | Iterable[str] | None) -> list[str]:
    """Addresses out of text with commas or semicolons, or a collection of them."""
    if value is None:
        return []
    parts = _SEPARATORS.split(value) if isinstance(value, str) else [str(part) for part in value]
    return [part.strip() for part in parts if part.strip()]


def build_message(
    *,
    to: Sequence[str],
    subject: str,
    html_content: str,
    from_email: str,
    files: Sequence[str] = (),
    cc: Sequence[str] = (),
    mime_charset: str = "utf-8",
    custom_headers: Mapping[str, Any] | None = None,
) -> EmailMessage:
    """A message of HTML with attachments. Raises AirflowException when the attachments are too large."""
    message = EmailMessage()
    message["Subject"] = " ".join(subject.splitlines())
    message["From"] = from_email
    message["To"] = ", ".join(to)
    if cc:
        message["Cc"] = ", ".join(cc)
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = make_msgid(domain="dagdeck")
    for name, value in (custom_headers or {}).items():
        message[name] = str(value)
    message.set_content(html_content, subtype="html", charset=mime_charset)
    size = 0
    for file in files:
        data = Path(file).read_bytes()
        size += len(data)
        if size > ATTACHED_BYTES:
            raise AirflowException(f"the attachments have more than {ATTACHED_BYTES:,} bytes")
        kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
        main, _, sub = kind.partition("/")
        message.add_attachment(data, maintype=main, subtype=sub, filename=Path(file).name)
    return message


def send_email(
    to: str | Iterable[str],
    subject: str,
    html_content: str,
    files: Sequence[str] | None = None,
    dryrun: bool = False,
    cc: str | Iterable[str] | None = None,
    bcc: str | Iterable[str] | None = None,
    mime_subtype: str = "mixed",
    mime_charset: str = "utf-8",
    conn_id: str | None = None,
    custom_headers: Mapping[str, Any] | None = None,
    from_email: str | None = None,
    **unused: Any,
) -> None:
    """Send one message. Raises AirflowException without a recipient or server, and what the server's refusal raises."""
    receivers, copied, hidden = addresses(to), addresses(cc), addresses(bcc)
    if not receivers and not copied and not hidden:
        raise AirflowException("a mail needs a recipient")
    server = mail_server(conn_id or DEFAULT_CONNECTION)
    message = build_message(
        to=receivers,
        subject=subject,
        html_content=html_content,
        from_email=from_email or server.from_email,
        files=files or (),
        cc=copied,
        mime_charset=mime_charset,
        custom_headers=custom_headers,
    )
    if not dryrun:
        deliver(server, message, [*receivers, *copied, *hidden])


def deliver(server: MailServer, message: EmailMessage, receivers: Sequence[str]) -> None:
    """Hand the message over, trying again when the connection breaks before the server has it."""
    for attempt in range(1, max(server.retry_limit, 1) + 1):
        try:
            with _connected(server) as smtp:
                smtp.send_message(message, to_addrs=list(receivers))
            return
        except (smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError, TimeoutError):
            if attempt >= server.retry_limit:
                raise


def _connected(server: MailServer) -> smtplib.SMTP:
    if server.use_ssl:
        context = ssl.create_default_context()
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=server.timeout)
        if server.starttls:
            smtp.starttls(context=ssl.create_default_context())
    if server.user and server.password:
        smtp.login(server.user, server.password)
    return smtp


# ---------------------------------------------------------------- about tasks


def send_task_mail(to: str | Iterable[str], context: Context, *, will_retry: bool) -> None:
    """Tell people that a task failed, or failed and is tried again."""
    from html import escape

    ti = context["ti"]
    error = context.get("exception")
    what = "will be tried again" if will_retry else "failed"
    lines = [
        f"Try {ti.try_number} of {max(ti.max_tries, ti.try_number - 1) + 1}",
        f"Exception: {escape(str(error) if error is not None else 'none given')}",
        f"Run: {escape(ti.run_id)}",
        f"Host: {escape(str(ti.hostname))}",
    ]
    send_email(
        to,
        f"DagDeck: task {ti.dag_id}.{ti.task_id} {what}",
        "<br>\n".join(lines),
    )


class MailFields:
    """What an operator and a notifier keep of the mail that they send; its fields may be templates."""

    to: str | Iterable[str]
    subject: str
    html_content: str
    from_email: str | None
    files: list[str]
    cc: str | Iterable[str] | None
    bcc: str | Iterable[str] | None
    mime_subtype: str
    mime_charset: str
    custom_headers: Mapping[str, Any] | None

    def _keep_mail(self, *, files: Iterable[str] | None, **fields: Any) -> None:
        self.files = list(files or ())
        for name, value in fields.items():
            setattr(self, name, value)

    def _send_mail(self, conn_id: str | None) -> None:
        """Send it. Raises what `send_email` raises."""
        send_email(
            self.to,
            self.subject,
            self.html_content,
            files=self.files,
            cc=self.cc,
            bcc=self.bcc,
            mime_charset=self.mime_charset,
            conn_id=conn_id,
            custom_headers=self.custom_headers,
            from_email=self.from_email,
        )
