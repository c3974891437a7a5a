"""Who may come in: the data folder's token, one-use codes made from it, and the session cookie.

    token   studio.token, 256 bits, mode 0600; the command line sends it as `Authorization: Bearer`
    code    in the address that `opd studio` prints; valid once, for ten minutes, for this server only
    cookie  HttpOnly, SameSite=Strict; what the page gets for a code. It survives a restart of the server

Code and cookie are keyed hashes, so that neither gives the token away and nothing has to be stored.
"""

from __future__ import annotations

import hmac
import os
import secrets
import threading
import time
from hashlib import sha256
from pathlib import Path

from opd.errors import OPDError, StorageError
from opd.store.files import fsync_dir

TOKEN_FILE = "studio.token"  # noqa: S105  # a file name
CODE_LIFETIME_S = 600


class AccessError(OPDError):
    """No valid session: the code is wrong, used or too old."""

    code = "access_denied"


class Access:
    """The doorkeeper's knowledge for one server.

    Args:
        token: the data folder's token.
        port: part of the cookie's name, because browsers do not keep cookies of ports apart.
        boot: names this server process; codes of another are worthless.
    """

    def __init__(self, token: str, port: int, boot: str):
        self._token = token.encode()
        self._boot = boot
        self._used: set[str] = set()
        self._lock = threading.Lock()
        self.cookie_name = f"opd_session_{port}"
        self.cookie_value = self._keyed("session", str(port))

    def is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token)

    def is_cookie(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.cookie_value.encode())

    def new_code(self) -> str:
        """A one-use code."""
        nonce = f"{int(time.time()):x}-{secrets.token_hex(8)}"
        return f"{nonce}-{self._sign(nonce)}"

    def redeem(self, code: str) -> None:
        """Use up a code.

        Raises:
            AccessError: it is not one of ours, too old, or was used before.
        """
        nonce, _, signature = code.rpartition("-")
        genuine = hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(nonce).encode())
        if genuine and 0 <= time.time() - int(nonce.partition("-")[0], 16) <= CODE_LIFETIME_S:
            with self._lock:
                if nonce not in self._used:
                    self._used.add(nonce)
                    return
        raise AccessError(
            "This address was used before or is too old.",
            hint="Run `opd studio` again: it prints a fresh address of the running studio.",
        )

    def _sign(self, nonce: str) -> str:
        return self._keyed("code", f"{self._boot}:{nonce}")[:32]

    def _keyed(self, purpose: str, text: str) -> str:
        return hmac.new(self._token, f"opd-studio {purpose} {text}".encode(), sha256).hexdigest()


def read_token(data_dir: Path) -> str:
    """The data folder's token; made on first use, readable by its owner only.

    Raises:
        StorageError: the file cannot be written or read, or holds something else.
    """
    path = data_dir / TOKEN_FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            token = path.read_text(encoding="ascii").strip()
        else:
            token = secrets.token_hex(32)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(token)
                file.flush()
                os.fsync(file.fileno())
            fsync_dir(data_dir)
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} cannot be used: {error}.", hint="Check the data folder's permissions.") from None
    if len(token) < 32:
        raise StorageError(f"{path} holds no token.", hint="Remove that file; the next start makes a new one.")
    return token
