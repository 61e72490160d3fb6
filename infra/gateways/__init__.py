"""Gateways: an adapter per provider, all behind the one port, and the simulator that speaks for them at home."""
