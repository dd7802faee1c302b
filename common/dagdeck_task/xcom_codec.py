"""The XCom codec under the runtime's name: `dagdeck.xcom_codec`, which XCom backends of authors use too."""

from __future__ import annotations

from dagdeck.xcom_codec import TAG, XComError, decode, encode, from_json, to_json

__all__ = ["TAG", "XComError", "decode", "encode", "from_json", "to_json"]
