"""Postgres: the reservation index and the read models. Every statement is bounded in time."""
