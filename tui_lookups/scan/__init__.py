"""The one-pass scan: plan, reductions, state and ledger; many workers in `ray`."""
