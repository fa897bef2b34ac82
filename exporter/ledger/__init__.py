"""The ledger: durable counters."""
