"""What the API and the dispatcher seal and open with, as the keyring's file is now."""

import logging
from pathlib import Path

from cdp.errors import CdpError
from cdp.keyring import KeyringFile
from cdp.reveal import Reveal
from cdp.seal import Keyring
from rules.identity.model import IdentityRules
from rules.seal import Sealer
from serving.definitions.credentials import Grant
from serving.definitions.models import Role

log = logging.getLogger(__name__)

SEES_PLAIN = Role.ops


class Sealing:
    """Made at the start of a process, from the keyring's file. Raises CdpError if that is of no use.

    Attributes:
        plain: opens everything that is sealed.
        masked: shows of it what masks leave.
    """

    def __init__(self, path: Path) -> None:
        self._file = KeyringFile(path)
        self._rules: IdentityRules | None = None
        self._use()

    def _use(self) -> None:
        ring = self._file.current
        self._sealer = Sealer(ring, rules=self._rules)
        self.plain, self.masked = Reveal(ring), Reveal(ring, masked=True)

    @property
    def ring(self) -> Keyring:
        """The keys themselves."""
        return self._file.current

    def sealer(self) -> Sealer:
        """What seals now."""
        return self._sealer

    def refresh(self) -> bool:
        """Notice that the keyring was rotated. Returns whether it was. Raises CdpError if it is of no use; the last one stays."""
        changed = self._file.refresh()
        if changed:
            self._use()
        return changed

    def follow(self, rules: IdentityRules) -> bool:
        """Seal identifiers by these rules from now on. Returns whether they are others than before."""
        changed = rules is not self._rules
        if changed:
            self._rules = rules
            self._use()
        return changed

    def newest(self) -> "Sealing":
        """Itself, after a look at the file; if that is of no use, as it was."""
        try:
            self.refresh()
        except CdpError as error:
            log.error("%s", error)
        return self

    def shown_to(self, grant: Grant) -> Reveal:
        """What a holder of a token sees: from ops on everything, below that what masks leave."""
        return self.plain if sees_plain(grant) else self.masked


def sees_plain(grant: Grant) -> bool:
    """Whether a holder of a token may see personal values."""
    return grant.role is not None and grant.role >= SEES_PLAIN
