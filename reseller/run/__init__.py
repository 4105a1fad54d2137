"""`make run`: the whole portal under one supervisor, on embedded engines unless the environment names real ones.

Own code instead of honcho or supervisor (both on PyPI): honcho ends everything when one child ends and starts nothing
again, supervisor knows no health checks and leaves children behind when it is killed. Here a child that dies is started
again, every process must pass its health check, and the kernel ends the children of a killed supervisor.
"""
