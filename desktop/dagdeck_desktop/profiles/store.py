"""Keeps the profiles in a file.

Decides their order (as added), that names are distinct, and that a broken file is set aside instead of overwritten.
Used by the connect page and `app`.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, Signal

from dagdeck_core.errors import UserError
from dagdeck_desktop.profiles.connection_file import ConnectionFile, certificates_in
from dagdeck_desktop.profiles.profile import PROFILE_COLORS, Profile
from dagdeck_desktop.transport.trust import write_private

_logger = logging.getLogger(__name__)


class ProfileStore(QObject):
    """The profiles. GUI thread only. `changed` follows each change."""

    changed = Signal()

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = path
        self._profiles = {profile.profile_id: profile for profile in self._read()}

    def all(self) -> tuple[Profile, ...]:
        """Every profile, in the order in which they were added."""
        return tuple(self._profiles.values())

    def find(self, profile_id: str) -> Profile | None:
        """A profile by its id."""
        return self._profiles.get(profile_id)

    def save(self, profile: Profile) -> None:
        """Add a profile, or replace the one with its id.

        Raises UserError for an empty name or one that another has, EnvironmentFault when the file cannot be written.
        """
        name = profile.name.strip()
        if not name:
            raise UserError("the name is empty", field="name", remedy="Give the cluster a name")
        others = (each for each in self._profiles.values() if each.profile_id != profile.profile_id)
        if any(each.name.casefold() == name.casefold() for each in others):
            raise UserError("another cluster has this name", field="name", value=name, remedy="Choose another one")
        self._write({**self._profiles, profile.profile_id: msgspec.structs.replace(profile, name=name)})

    def delete(self, profile_id: str) -> None:
        """Forget a profile; one that is not there is no error. Raises EnvironmentFault like `save`."""
        if profile_id in self._profiles:
            self._write({key: each for key, each in self._profiles.items() if key != profile_id})
            with contextlib.suppress(OSError):
                self._authority(profile_id).unlink(missing_ok=True)

    def find_url(self, url: str) -> Profile | None:
        """The first profile of a server, by its address as `url_from_input` writes it."""
        return next((each for each in self._profiles.values() if each.url == url), None)

    def add(self, file: ConnectionFile) -> Profile:
        """The profile of a connection file: the one with its address, unchanged, or a new one.

        What a person filed is not overwritten by a file from elsewhere: it could bring another authority to trust.
        Raises EnvironmentFault when nothing can be written.
        """
        known = self.find_url(file.url)
        if known is not None:
            return known
        profile = Profile(
            name=self.free_name(file.name),
            url=file.url,
            kind=file.kind,
            color=file.color or PROFILE_COLORS[0],
            username=file.username,
        )
        if file.ca_certificate:
            authority = self._authority(profile.profile_id)
            write_private(authority, certificates_in(file.ca_certificate))
            profile = msgspec.structs.replace(profile, ca_file=str(authority))
        self.save(profile)
        return profile

    def free_name(self, wanted: str) -> str:
        """`wanted`, with a number if another has it."""
        taken = {each.name.casefold() for each in self._profiles.values()}
        name, number = wanted, 2
        while name.casefold() in taken:
            name, number = f"{wanted} {number}", number + 1
        return name

    def _authority(self, profile_id: str) -> Path:
        return self._path.parent / "authorities" / f"{profile_id}.pem"

    def _write(self, profiles: dict[str, Profile]) -> None:
        content = msgspec.json.format(msgspec.json.encode(list(profiles.values())), indent=2)
        write_private(self._path, content.decode("utf-8"))
        self._profiles = profiles
        self.changed.emit()

    def _read(self) -> list[Profile]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Profile])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            _logger.warning("%s cannot be read and is set aside: %s", self._path, error)
            try:
                self._path.rename(self._path.with_suffix(".broken.json"))
            except OSError as fault:
                _logger.warning("it could not be set aside: %s", fault)
            return []
