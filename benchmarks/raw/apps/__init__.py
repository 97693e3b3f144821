"""What the servers serve, and how those without a command of their own are started.

The servers import these modules from this directory, put on PYTHONPATH; nothing
here imports the benchmarks, so that a worker carries the application only.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
