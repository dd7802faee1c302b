"""Talks HTTP to a control API with Qt's network: requests, TLS trust, and failures as sentences for people.

Decides which servers are trusted, how long to wait, and what is tried again. Does not know any resource
(`dagdeck_client.requests`) and no screens. Made by `app`; used by view models and the live feed.
"""

from dagdeck_desktop.transport.api import Api, Call
from dagdeck_desktop.transport.endpoint import Endpoint
from dagdeck_desktop.transport.failures import UntrustedCertificate
from dagdeck_desktop.transport.trust import CertificateProblem, PinStore

__all__ = ["Api", "Call", "CertificateProblem", "Endpoint", "PinStore", "UntrustedCertificate"]
