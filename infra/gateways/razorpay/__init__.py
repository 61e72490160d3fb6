"""Razorpay: what it is asked (`requests`), what it says (`answers`), what that means (`verdict`), and the adapter."""
