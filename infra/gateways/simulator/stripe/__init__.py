"""Stripe's wire over the simulator's ledger: a reference is the Idempotency-Key that an intent was created under."""
