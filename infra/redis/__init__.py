"""Redis: hot metrics by source partition, what is published of them, and the leases of probes.

It may forget everything at any time, and is filled again or done without; it must not forget a part of it, so it is run
without an eviction policy (`noeviction`, which is its default).
"""
