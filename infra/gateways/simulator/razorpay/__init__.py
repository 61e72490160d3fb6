"""Razorpay's wire over the simulator's ledger: a reference is a receipt, and an order may be paid more than once."""
