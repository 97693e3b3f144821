"""Plugins: processes that hear events and send commands; clients of the endpoints.

Nothing in here imports the arbiter. `CircusPlugin` is the class to inherit from.
"""

from chaussette.arbiter.plugins.base import CircusPlugin
from chaussette.arbiter.plugins.loop import Period, PeriodicCallback, PluginLoop

__all__ = ["CircusPlugin", "Period", "PeriodicCallback", "PluginLoop"]
