"""The parent process: it owns sockets and processes, and never application code."""
