"""Doors to card processors: pure functions and dataclasses without the ORM, one module a processor."""
