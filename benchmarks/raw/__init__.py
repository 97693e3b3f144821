"""HTTP servers beside the floor: CPU per request, requests per second, latency; see README.md."""
