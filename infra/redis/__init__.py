"""Redis: hot metrics by source partition, and what is published of them.

It may forget everything at any time, and is filled again; it must not forget a part of it, so it is run without an
eviction policy (`noeviction`, which is its default).
"""
