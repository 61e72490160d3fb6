"""Twins of every port, in memory: the same rules as the real ones, and every fault that the real ones can have.

They need nothing but an event loop, so a whole system runs in one process; on a loop of virtual time, with seeded
faults, that is the simulation in `tests/simulation`.
"""
