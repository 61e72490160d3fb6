"""Pretend gateways over real HTTP: the demo, the double of tests, and the truth for checks."""
