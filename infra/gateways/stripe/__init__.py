"""Stripe, by PaymentIntents: one intent per attempt, created and confirmed in one call under the attempt's id."""
