"""One Python stack that replaces supervisor, app server and workers.

This package module stays empty of imports: a worker pays for what it uses.
"""

from chaussette.version import __version__

__all__ = ["__version__"]
