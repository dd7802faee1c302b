"""What happens on the connect page: forms become connections, failures become sentences beside the form.

Decides when a profile is kept (once it has worked), when a certificate is asked about, and what the local cluster's
progress shows. Does not speak HTTP (`session`). Made by `app`, one per window.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import shiboken6
from PySide6.QtCore import QObject, QTimer

from dagdeck_core.errors import DagDeckError
from dagdeck_desktop.connect.form import Entered
from dagdeck_desktop.connect.page import ConnectPage
from dagdeck_desktop.connect.python_flow import LocalPythonFlow
from dagdeck_desktop.local_cluster import LocalAccess, LocalCluster, LocalPython, StartFailed
from dagdeck_desktop.profiles import ClusterKind, Profile, ProfileStore, read_connection_file
from dagdeck_desktop.session import ClusterSession, SessionState
from dagdeck_desktop.settings import SettingsStore
from dagdeck_desktop.transport.failures import UntrustedCertificate
from dagdeck_desktop.transport.trust import CertificateProblem, PinStore

LOCAL_NAME = "This computer"
_LOOK_MILLISECONDS = 2_000


class ConnectFlow(QObject):
    """Joins the connect page to session, profiles, certificates and the local cluster."""

    def __init__(
        self,
        session: ClusterSession,
        profiles: ProfileStore,
        pins: PinStore,
        local: LocalCluster,
        pythons: LocalPython,
        settings: SettingsStore,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._profiles = profiles
        self._pins = pins
        self._local = local
        self._python = LocalPythonFlow(local, pythons, settings, self)
        self._settings = settings
        self._page: ConnectPage | None = None
        self._entered: Entered | None = None
        self._asked: Profile | None = None
        session.connected.connect(self._connected)
        session.failed.connect(self.show_failure)
        session.sign_in_needed.connect(self._ask_sign_in)
        session.state_changed.connect(self._show_known)
        profiles.changed.connect(self._show_known)
        local.ready.connect(self._local_ready)
        local.failed.connect(self._local_failed)
        local.progressed.connect(self._local_progressed)
        local.stopped.connect(self._local_stopped)
        self._look = QTimer(self, interval=_LOOK_MILLISECONDS)
        self._look.timeout.connect(self._look_at_local)

    def attach(self, page: ConnectPage) -> None:
        """Serve this page from now on."""
        self._page = page
        self._python.attach(page)
        page.local.start_chosen.connect(self.start_local)
        page.local.stop_chosen.connect(self._stop_local)
        page.form.submitted.connect(self._submit)
        page.form.cancelled.connect(self._session.disconnect_from)
        page.form.certificate_accepted.connect(self._accept_certificate)
        page.known.connect_chosen.connect(self.connect_to)
        page.known.edit_chosen.connect(page.form.edit)
        page.known.delete_chosen.connect(self._delete)
        page.destroyed.connect(lambda: self._detach(page))
        page.greet(is_first=not self._profiles.all())
        if self._asked is not None:
            page.form.edit(self._asked)
        self._show_known()
        self._look_at_local()
        self._look.start()

    def connect_to(self, profile: Profile) -> None:
        """Connect to a known cluster; the local one is started if it does not run."""
        self._entered = Entered(profile=profile)
        if profile.kind is ClusterKind.LOCAL:
            self.start_local()
            return
        if self._page is not None:
            self._page.form.edit(profile)
            self._page.form.set_busy(is_busy=True)
        self._session.connect_to(profile)

    def connect_at_start(self) -> bool:
        """Connect to the last cluster, if that is wanted and it is known; False when it is not.

        A local cluster is not started by itself: only one that runs is opened.
        """
        settings = self._settings.now
        profile = self._profiles.find(settings.last_profile)
        if not settings.connect_at_start or profile is None:
            return False
        if profile.kind is ClusterKind.LOCAL and not self._local.is_running:
            return False
        self.connect_to(profile)
        return True

    def open_file(self, path: Path) -> None:
        """Go to the cluster of a connection file: into a known one; a new one is added and its form shown.

        To a new one nothing is sent before a person presses "Connect": the file may come from anybody. Raises UserError
        and EnvironmentFault for a file that cannot be used.
        """
        file = read_connection_file(path)
        known = self._profiles.find_url(file.url)
        if known is not None:
            self.connect_to(known)
            return
        profile = self._profiles.add(file)
        self._entered = Entered(profile=profile)
        self._asked = profile
        if self._page is not None:
            self._page.form.edit(profile)

    def start_local(self) -> None:
        """Start the local cluster unless it runs, and go into it."""
        self._local.start(self._settings.now.local_python)

    def choose_python(self) -> None:
        """Ask which Python runs DAG files of the local cluster; the page to connect on must be shown."""
        self._python.ask()

    # ------------------------------------------------------------ the form

    def _submit(self, entered: Entered) -> None:
        self._entered = entered
        if self._page is not None:
            self._page.form.set_busy(is_busy=True)
        if entered.password:
            self._session.sign_in(entered.profile, entered.profile.username, entered.password)
        else:
            self._session.connect_to(entered.profile, entered.token or None)

    def _connected(self, profile: Profile) -> None:
        entered, self._entered = self._entered, None
        self._asked = None
        try:
            known = self._profiles.find(profile.profile_id)
            name = profile.name if known is not None and known.name == profile.name else ""
            self._profiles.save(msgspec.structs.replace(profile, name=name or self._profiles.free_name(profile.name)))
        except DagDeckError as error:
            # The connection stands; only the memory of it fails.
            if self._page is not None:
                self._page.form.show_error(error)
        if entered is not None and entered.token:
            self._session.keep_token(profile, entered.token)
        self._settings.change(last_profile=profile.profile_id)
        if self._page is not None:
            self._page.form.edit(None)
            self._page.greet(is_first=False)
            self._page.local.end_progress()

    def show_failure(self, error: DagDeckError) -> None:
        """Say on the page why there is no connection, or ask about a certificate."""
        if self._page is None:
            return
        if isinstance(error, UntrustedCertificate):
            self._page.form.ask_certificate(error.problem)
        else:
            self._page.form.show_error(error)

    def _accept_certificate(self, problem: CertificateProblem) -> None:
        try:
            self._pins.accept(problem.origin, problem.fingerprint)
        except DagDeckError as error:
            self.show_failure(error)
            return
        if self._entered is not None:
            self._submit(self._entered)
        else:
            self._session.retry()

    def _ask_sign_in(self, profile: Profile) -> None:
        self._asked = profile
        if self._page is not None:
            entered = self._entered
            self._page.form.edit(profile)
            if entered is not None and (entered.password or entered.token):
                self._page.form.show_error(DagDeckError("the server does not know this token any more"))

    def _delete(self, profile: Profile) -> None:
        try:
            if self._session.profile is not None and self._session.profile.profile_id == profile.profile_id:
                self._session.sign_out()
            self._profiles.delete(profile.profile_id)
        except DagDeckError as error:
            self.show_failure(error)

    def _show_known(self) -> None:
        if self._page is not None:
            current = self._session.profile
            is_in = self._session.state is SessionState.CONNECTED and current is not None
            self._page.known.show_profiles(
                self._profiles.all(), current.profile_id if is_in and current is not None else ""
            )

    # ------------------------------------------------------------ the local cluster

    def _local_ready(self, access: LocalAccess) -> None:
        known = next((each for each in self._profiles.all() if each.kind is ClusterKind.LOCAL), None)
        if known is None:
            profile = Profile(name=LOCAL_NAME, url=access.url, kind=ClusterKind.LOCAL)
        else:
            # Its port may be another one than last time.
            profile = msgspec.structs.replace(known, url=access.url)
        self._entered = None
        self._look_at_local()
        self._session.connect_to(profile, access.token)

    def _local_failed(self, error: DagDeckError) -> None:
        if self._page is not None:
            self._page.local.show_error(error)
            self._look_at_local()
            if isinstance(error, StartFailed) and error.needs_python:
                self._python.ask()

    def _local_progressed(self, text: str, seconds: float) -> None:
        if self._page is not None:
            self._page.local.set_progress(text, seconds)

    def _stop_local(self) -> None:
        try:
            self._local.stop()
        except DagDeckError as error:
            self._local_failed(error)

    def _local_stopped(self) -> None:
        """It was stopped from here: there is nothing to wait for, so the window leaves it."""
        profile = self._session.profile
        if profile is not None and profile.kind is ClusterKind.LOCAL:
            self._session.disconnect_from()
        self._look_at_local()

    def _look_at_local(self) -> None:
        if self._page is not None and not self._local.is_starting:
            self._page.local.set_running(is_running=self._local.is_running)

    def _detach(self, page: ConnectPage) -> None:
        # Qt deletes a page some time after it was left: there may be a new one by then, or the program is ending.
        if self._page is page and shiboken6.isValid(self):
            self._page = None
            self._python.detach()
            self._look.stop()
