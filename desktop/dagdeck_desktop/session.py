"""Which cluster the window shows, and the steps that lead into it.

Decides the order: address, certificate, sign-in, then the live feed; and what counts as connected. Does not draw
anything (`shell.connect_page`) and does not start daemons (`local_cluster`). Made by `app`; views watch `connected`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from PySide6.QtCore import QObject, QTimer, Signal

from dagdeck_client.errors import NotAllowed, NotAuthenticated
from dagdeck_client.models import DagPage, Token, VersionInfo
from dagdeck_client.requests.admin import get_version, log_in
from dagdeck_client.requests.dags import list_dags
from dagdeck_core.errors import DagDeckError, UserError
from dagdeck_desktop.keyring import Secret, SecretStore
from dagdeck_desktop.live.feed import Feed
from dagdeck_desktop.profiles import ClusterKind, Profile
from dagdeck_desktop.transport.api import Api
from dagdeck_desktop.transport.endpoint import Endpoint, is_readable_on_the_way


class SessionState(StrEnum):
    """How far into a cluster this window is."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"


class ClusterSession(QObject):
    """The way into a cluster and out of it. GUI thread only.

    One of `connected(Profile)`, `sign_in_needed(Profile)` and `failed(error)` follows each `connect_to`.
    `secret_not_kept` says that the keyring did not take the token, so that it will be asked for next time.
    """

    state_changed = Signal()
    connected = Signal(object)
    disconnected = Signal()
    sign_in_needed = Signal(object)
    failed = Signal(object)
    secret_not_kept = Signal()

    def __init__(self, api: Api, feed: Feed, secrets: SecretStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.api = api
        self.feed = feed
        self._secrets = secrets
        self._state = SessionState.DISCONNECTED
        self._profile: Profile | None = None
        self._endpoint: Endpoint | None = None
        self._attempt = 0
        self._again: tuple[Profile, str | None] | None = None
        self.server_version = ""
        api.sign_in_needed.connect(self._token_refused)
        feed.sign_in_needed.connect(self._token_refused)

    @property
    def state(self) -> SessionState:
        """How far in we are."""
        return self._state

    @property
    def profile(self) -> Profile | None:
        """The cluster of the connection, or of the attempt."""
        return self._profile

    @property
    def is_dagdeck(self) -> bool:
        """False for an Airflow server, which lacks what DagDeck adds; those views are greyed."""
        return self.api.is_dagdeck is not False

    def connect_to(self, profile: Profile, token: str | None = None) -> None:
        """Leave the cluster shown now and go into this one, with the keyring's token unless one is given."""
        self._begin(profile)
        self._again = (profile, token)
        attempt = self._attempt
        if not self._is_safe(attempt, profile):
            return
        if token is not None:
            self._open(attempt, token)
        else:
            self._secrets.get(profile.profile_id, lambda secret: self._secret_came(attempt, secret))

    def sign_in(self, profile: Profile, username: str, password: str) -> None:
        """Exchange a password for a token, keep that in the keyring, and go in. The password is kept nowhere."""
        self._begin(msgspec.structs.replace(profile, username=username))
        attempt = self._attempt
        if not self._is_safe(attempt, profile):
            return
        self._call_at(None)
        self.api.call(
            log_in(username, password),
            lambda token: self._signed_in(attempt, token),
            lambda error: self._fail(attempt, error),
            owner=self,
        )

    def retry(self) -> None:
        """Connect once more to where the last `connect_to` led, by the same token; nothing if there was none."""
        if self._again is not None:
            profile, token = self._again
            self.connect_to(profile, token)

    def disconnect_from(self) -> None:
        """Leave the cluster."""
        self._attempt += 1
        was = self._state
        self.feed.stop()
        self.api.set_endpoint(None)
        self._profile, self._endpoint, self.server_version = None, None, ""
        self._set_state(SessionState.DISCONNECTED)
        if was is SessionState.CONNECTED:
            self.disconnected.emit()

    def sign_out(self) -> None:
        """Leave the cluster and forget its token."""
        if self._profile is not None:
            self._secrets.forget(self._profile.profile_id, lambda _secret: None)
        self._again = None
        self.disconnect_from()

    # ------------------------------------------------------------ steps

    def _begin(self, profile: Profile) -> None:
        if self._state is not SessionState.DISCONNECTED:
            self.disconnect_from()
        self._attempt += 1
        self._profile = profile
        self._set_state(SessionState.CONNECTING)

    def _is_safe(self, attempt: int, profile: Profile) -> bool:
        """False, and told as a failure, where a secret could be read on its way and nobody has agreed to that."""
        if profile.allows_plain_http or not is_readable_on_the_way(profile.url):
            return True
        error = UserError(
            "this address is not encrypted, so passwords and tokens could be read on the way",
            field="plain_http",
            remedy="Use https, or tick “Connect without encryption” if you trust the network",
        )
        QTimer.singleShot(0, self, lambda: self._fail(attempt, error))
        return False

    def _call_at(self, token: str | None) -> None:
        assert self._profile is not None
        self._endpoint = Endpoint(url=self._profile.url, token=token, ca_file=self._profile.ca_file or None)
        self.api.set_endpoint(self._endpoint)

    def _secret_came(self, attempt: int, secret: Secret) -> None:
        if attempt == self._attempt:
            self._open(attempt, secret.value)

    def _signed_in(self, attempt: int, token: Token) -> None:
        if attempt == self._attempt and self._profile is not None:
            self._secrets.put(self._profile.profile_id, token.access_token, self._kept)
            self._again = (self._profile, token.access_token)
            self._open(attempt, token.access_token)

    def _kept(self, secret: Secret) -> None:
        if not secret.is_kept:
            self.secret_not_kept.emit()

    def keep_token(self, profile: Profile, token: str) -> None:
        """Put a token that was typed in into the keyring."""
        self._secrets.put(profile.profile_id, token, self._kept)

    def _open(self, attempt: int, token: str | None) -> None:
        self._call_at(token)
        self.api.call(
            get_version(),
            lambda version: self._version_came(attempt, version, has_token=bool(token)),
            lambda error: self._fail(attempt, error),
            owner=self,
        )

    def _version_came(self, attempt: int, version: VersionInfo, *, has_token: bool) -> None:
        if attempt != self._attempt:
            return
        self.server_version = version.version
        if not has_token:
            self._ask_sign_in()
            return
        self.api.call(
            list_dags(limit=1),
            lambda page: self._go_in(attempt, page),
            lambda error: self._fail(attempt, error),
            owner=self,
        )

    def _go_in(self, attempt: int, _page: DagPage | None) -> None:
        if attempt != self._attempt or self._profile is None or self._endpoint is None:
            return
        if self._profile.kind is not ClusterKind.LOCAL:
            kind = ClusterKind.DAGDECK if self.is_dagdeck else ClusterKind.AIRFLOW
            self._profile = msgspec.structs.replace(self._profile, kind=kind)
        self._set_state(SessionState.CONNECTED)
        self.feed.start(self._endpoint)
        self.connected.emit(self._profile)

    def _fail(self, attempt: int, error: DagDeckError) -> None:
        if attempt != self._attempt:
            return
        if isinstance(error, NotAllowed):
            # Signed in, and not allowed to list DAGs: the views say so, each for itself.
            self._go_in(attempt, None)
            return
        if isinstance(error, NotAuthenticated) and self._endpoint is not None and self._endpoint.token is not None:
            self._ask_sign_in()
            return
        self._set_state(SessionState.DISCONNECTED)
        self.failed.emit(error)

    def _ask_sign_in(self) -> None:
        profile = self._profile
        self._set_state(SessionState.DISCONNECTED)
        if profile is not None:
            self.sign_in_needed.emit(profile)

    def _token_refused(self) -> None:
        """A token that was good has expired or was revoked."""
        if self._state is SessionState.CONNECTED and self._profile is not None:
            self._secrets.forget(self._profile.profile_id, lambda _secret: None)
            self.sign_in_needed.emit(self._profile)

    def _set_state(self, state: SessionState) -> None:
        if state is not self._state:
            self._state = state
            self.state_changed.emit()
