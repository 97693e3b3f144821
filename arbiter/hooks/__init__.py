"""Hooks: functions of the operator's that are called at points of a watcher's life.

They are application code and run in a hook host (host.py), a process beside the
arbiter, which talks to it through caller.py and never waits for it.
"""
