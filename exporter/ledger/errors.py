"""What can be wrong with a ledger.

LedgerError             the ledger is unavailable: the disk is full, the database is down ...
+-- LedgerRefusedError  it is not a ledger, is damaged, or is a later version's; never modified
    +-- NoLedgerError   there is none yet
"""


class LedgerError(Exception):
    """The ledger cannot be read or written now; the transaction was rolled back."""


class LedgerRefusedError(LedgerError):
    """The database is not a ledger, is damaged, or is a later version's; it was not touched."""


class NoLedgerError(LedgerRefusedError):
    """There is no ledger where one was to be read."""
