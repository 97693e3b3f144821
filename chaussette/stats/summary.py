"""From the figures of processes and workers to those of their watcher. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def summary(infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Circus's `pid`, `cpu` (the mean), `mem` (the sum) and `age` (the oldest), and ours."""
    ages = [info["age"] for info in infos]
    told: dict[str, Any] = {
        "pid": [info["pid"] for info in infos],
        "cpu": sum(info["cpu"] for info in infos) / len(infos) if infos else 0.0,
        "mem": round(sum(info["mem"] for info in infos), 3),
        "age": max(ages) if ages else "N/A",
        "processes": len(infos),
        "rss": sum(info["rss"] for info in infos),
        "threads": sum(info["threads"] for info in infos),
    }
    workers = [info["worker"] for info in infos if "worker" in info]
    if workers:
        told["workers"] = _workers(workers)
    return told


def _workers(workers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "processes": len(workers),
        "serving": sum(one["state"] == "serving" for one in workers),
        "in_flight": sum(one["in_flight"] for one in workers),
        "rate": round(sum(one["rate"] for one in workers), 2),
        "busy": round(sum(one["busy"] for one in workers) / len(workers), 4),
    }
