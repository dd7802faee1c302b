"""Composition root of the desktop: makes every part once and joins them.

Decides what is built from what, and in which order the window comes up: it is drawn before anything is asked over the
network. Called by `__main__` and by tests of the whole window.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, QTimer
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QApplication, QFileDialog

from dagdeck_client.versions import differ, own_release
from dagdeck_core.errors import DagDeckError, UserError
from dagdeck_desktop.actions import ActionRegistry, ActionScope, ActionSpec
from dagdeck_desktop.connect import ConnectFlow, ConnectPage
from dagdeck_desktop.context import DesktopContext
from dagdeck_desktop.icons import Icons
from dagdeck_desktop.incidents import Incidents
from dagdeck_desktop.keyring import SecretStore
from dagdeck_desktop.live import Feed, LinkState
from dagdeck_desktop.local_cluster import LocalCluster, LocalPython
from dagdeck_desktop.profiles import Profile, ProfileStore, connection_text
from dagdeck_desktop.profiles.connection_file import SUFFIX
from dagdeck_desktop.session import ClusterSession, SessionState
from dagdeck_desktop.settings import Places, SettingsStore
from dagdeck_desktop.settings.dialog import SettingsDialog
from dagdeck_desktop.shell import MainWindow
from dagdeck_desktop.shell.notices import Tone
from dagdeck_desktop.theme import Theme, load_fonts
from dagdeck_desktop.transport import Api, Endpoint, PinStore, UntrustedCertificate
from dagdeck_desktop.transport.endpoint import url_from_input

CONNECT_PAGE = "connect"
RegisterPages = Callable[[DesktopContext], None]
"""Adds a desktop's pages to its window by `add_page`; the first one in the rail is opened after a connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """What the command line asked for. `url` with `token` connects there, without keeping it; `file` is a connection
    file."""

    url: str = ""
    token: str = ""
    file: Path | None = None
    starts_local: bool = False


class Desktop(QObject):
    """The program: parts, joined. Close it by `close`."""

    def __init__(
        self,
        application: QApplication,
        places: Places,
        register_pages: RegisterPages,
        *,
        environ: Mapping[str, str] = os.environ,
        secrets: SecretStore | None = None,
    ) -> None:
        super().__init__()
        load_fonts()
        self.settings = SettingsStore(places.settings, self)
        self.theme = Theme(self.settings.now.appearance, self)
        self.theme.apply_to(application)
        self.icons = Icons(self.theme, self)
        self.actions = ActionRegistry(self.icons, self)
        self.window = MainWindow(self.theme, self.icons, self.actions)
        self.incidents = Incidents(places.log, self)
        self.pins = PinStore(places.pins)
        self.api = Api(self.pins, self)
        self.feed = Feed(self.api, self.pins, self)
        self.secrets = secrets if secrets is not None else SecretStore(parent=self)
        self.session = ClusterSession(self.api, self.feed, self.secrets, self)
        self.profiles = ProfileStore(places.profiles, self)
        self.local = LocalCluster(self.pins, places.local_cluster_log, environ, self)
        self.pythons = LocalPython(environ, self)
        self.flow = ConnectFlow(self.session, self.profiles, self.pins, self.local, self.pythons, self.settings, self)
        self.context = DesktopContext(
            theme=self.theme,
            icons=self.icons,
            api=self.api,
            feed=self.feed,
            session=self.session,
            actions=self.actions,
            settings=self.settings,
            window=self.window,
        )
        register_pages(self.context)
        self.window.add_page(CONNECT_PAGE, "Connect", "plug", self._make_connect_page, in_rail=False)
        self._add_actions()
        self._wire()
        self.window.set_cluster("", "", None)

    def start(self, options: StartOptions) -> None:
        """Show the window, then connect: to what was asked for, or to the last cluster."""
        self.window.restore_place(self.settings.now.window)
        self.window.open_page(CONNECT_PAGE)
        self.window.show()
        QTimer.singleShot(0, self, lambda: self._connect_first(options))

    def open_url(self, text: str, token: str = "") -> None:
        """Connect to an address from outside: to the known cluster with it, or to a new one."""
        try:
            url = url_from_input(text)
        except UserError as error:
            self.window.notify_error(error, "This address cannot be opened")
            return
        known = self.profiles.find_url(url)
        profile = known if known is not None else Profile(name=url.split("://", 1)[-1], url=url)
        self._show_connect()
        self.session.connect_to(profile, token or None)

    def open_file(self, path: Path) -> None:
        """Go to the cluster of a connection file, and add it if it is new."""
        self._show_connect()
        try:
            self.flow.open_file(path)
        except DagDeckError as error:
            self.window.notify_error(error, "This file cannot be opened")

    def close(self) -> None:
        """End everything but daemons: those go on."""
        self.settings.change(window=self.window.place())
        self.settings.flush()
        self.incidents.remove()
        self.local.close()
        self.pythons.close()
        self.feed.close()
        self.api.close()

    # ------------------------------------------------------------ joining

    def _wire(self) -> None:
        window, session = self.window, self.session
        window.closing.connect(self.close)
        window.connect_chosen.connect(self._show_connect)
        window.settings_chosen.connect(self._show_settings)
        window.appearance_chosen.connect(lambda appearance: self.settings.change(appearance=appearance))
        window.retry_chosen.connect(self._retry)
        session.connected.connect(self._connected)
        session.disconnected.connect(self._disconnected)
        session.sign_in_needed.connect(self._sign_in_needed)
        session.secret_not_kept.connect(
            lambda: window.notify("This computer has no keyring that works, so you will be asked to sign in each time.")
        )
        self.feed.link_state_changed.connect(self._link_changed)
        self.feed.refused.connect(self._stream_refused)
        self.local.failed.connect(self._local_failed)
        self.incidents.happened.connect(self._incident)

    def _add_actions(self) -> None:
        session = self.session
        for spec in (
            ActionSpec(
                key="cluster.start_local",
                title="Start or open the local cluster",
                run=self.flow.start_local,
                scope=ActionScope.CLUSTER,
                icon="play",
                keywords=("standalone", "this", "computer"),
                is_enabled=lambda: not self.local.is_starting,
            ),
            ActionSpec(
                key="cluster.local_python",
                title="Choose the Python for DAG files on this computer…",
                run=self._choose_python,
                scope=ActionScope.CLUSTER,
                icon="file-code",
                keywords=("environment", "packages", "pip", "interpreter"),
                # Installed by pip, a cluster uses the Python that DagDeck itself is installed in.
                is_enabled=lambda: getattr(sys, "frozen", False) and not self.local.is_running,
            ),
            ActionSpec(
                key="cluster.disconnect",
                title="Disconnect",
                run=session.disconnect_from,
                scope=ActionScope.CLUSTER,
                icon="unplug",
                is_enabled=lambda: session.state is SessionState.CONNECTED,
            ),
            ActionSpec(
                key="cluster.sign_out",
                title="Sign out and forget the token",
                run=session.sign_out,
                scope=ActionScope.CLUSTER,
                icon="log-out",
                is_enabled=lambda: session.state is SessionState.CONNECTED,
            ),
            ActionSpec(
                key="cluster.copy_url",
                title="Copy the cluster's address",
                run=self._copy_url,
                scope=ActionScope.CLUSTER,
                icon="copy",
                is_enabled=lambda: session.state is SessionState.CONNECTED,
            ),
            ActionSpec(
                key="cluster.save_connection_file",
                title="Save a connection file for others…",
                run=self._save_connection_file,
                scope=ActionScope.CLUSTER,
                icon="download",
                keywords=("share", "export", "colleagues"),
                is_enabled=lambda: session.state is SessionState.CONNECTED,
            ),
        ):
            self.actions.add(spec, self.window)

    def _make_connect_page(self) -> ConnectPage:
        page = ConnectPage(self.theme, self.icons)
        self.flow.attach(page)
        return page

    def _connect_first(self, options: StartOptions) -> None:
        if options.file is not None:
            self.open_file(options.file)
        elif options.url:
            self.open_url(options.url, options.token)
        elif options.starts_local:
            self.flow.start_local()
        else:
            self.flow.connect_at_start()

    # ------------------------------------------------------------ what happens

    def _connected(self, profile: Profile) -> None:
        kind = "DagDeck" if self.session.is_dagdeck else "Airflow"
        self.window.set_cluster(profile.name, profile.url, QColor(profile.color))
        self.window.status.set_note(_release_note(kind, self.session.server_version))
        first = next((spec.key for spec in self.window.pages.specs if spec.in_rail), CONNECT_PAGE)
        self.window.pages.reset()
        self.window.open_page(first)
        self.actions.refresh()

    def _disconnected(self) -> None:
        self.window.set_cluster("", "", None)
        self.window.status.set_note("")
        self.window.banner.hide()
        self.window.pages.reset()
        self._show_connect()

    def _sign_in_needed(self, _profile: Profile) -> None:
        if self.session.state is SessionState.CONNECTED:
            self.window.ask_sign_in()
        else:
            self._show_connect()

    def _link_changed(self, state: str, age_seconds: float) -> None:
        self.window.set_link(LinkState(state), age_seconds)

    def _stream_refused(self, error: DagDeckError) -> None:
        if isinstance(error, UntrustedCertificate):
            self._show_connect()
            self.flow.show_failure(error)
        else:
            self.window.notify_error(error, "The live stream was refused")

    def _retry(self) -> None:
        endpoint = self.session.api.endpoint
        if self.feed.state is LinkState.LOST and endpoint is not None and not self._is_signed_out:
            self.feed.retry_now()
        else:
            self._show_connect()

    @property
    def _is_signed_out(self) -> bool:
        return "sign-in" in self.window.banner.text

    def _show_connect(self) -> None:
        self.window.open_page(CONNECT_PAGE)

    def _show_settings(self) -> None:
        dialog = SettingsDialog(self.theme, self.icons, self.settings, self.window)
        dialog.appearance_chosen.connect(self.window.choose_appearance)
        dialog.open()

    def _choose_python(self) -> None:
        self._show_connect()
        self.flow.choose_python()

    def _copy_url(self) -> None:
        endpoint: Endpoint | None = self.api.endpoint
        if endpoint is not None:
            QGuiApplication.clipboard().setText(endpoint.url)
            self.window.notify(f"Copied: {endpoint.url}")

    def _save_connection_file(self) -> None:
        profile = self.session.profile
        if profile is None:
            return
        name = re.sub(r"[^\w.-]+", "-", profile.name).strip("-.") or "cluster"
        chosen, _kind = QFileDialog.getSaveFileName(
            self.window, "Save a connection file", f"{name}{SUFFIX}", f"Connection files (*{SUFFIX})"
        )
        if not chosen:
            return
        path = Path(chosen if chosen.endswith(SUFFIX) else chosen + SUFFIX)
        try:
            path.write_text(connection_text(profile), encoding="utf-8")
        except OSError as error:
            self.window.notify_error(error, f"{path} cannot be written")
        except DagDeckError as error:
            self.window.notify_error(error, "The connection file cannot be made")
        else:
            self.window.notify(f"Saved: {path}. Whoever opens it signs in with their own account.")

    def _local_failed(self, error: Exception) -> None:
        route = self.window.pages.route
        if route is None or route.key != CONNECT_PAGE:
            self.window.notify_error(error, "The local cluster could not be started")

    def _incident(self, summary: str, details: str) -> None:
        self.window.notify(
            f"Something went wrong in DagDeck itself. Your clusters are not affected.\n{summary}", Tone.ERROR, details
        )


def _release_note(kind: str, release: str) -> str:
    """What the status bar says of the server; of a DagDeck of another release, also what this program is."""
    own = own_release()
    is_other = kind == "DagDeck" and differ(release, own)
    return f"{kind} {release}" + (f" (this desktop {own}: new things of one do not work)" if is_other else "")
