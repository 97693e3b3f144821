"""One worker of pool.py: takes numbers, counts the primes below them, says so."""

import os
import sys

import zmq


def primes_below(limit: int) -> int:
    sieve = bytearray([1]) * max(limit, 2)
    sieve[0:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return sum(sieve[:limit])


def main(jobs: str, results: str) -> None:
    context = zmq.Context()
    source, sink = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    source.setsockopt(zmq.RCVHWM, 1)
    source.connect(jobs)
    sink.connect(results)
    while True:
        job = source.recv_json()
        sink.send_json({**job, "primes": primes_below(job["below"]), "pid": os.getpid()})


if __name__ == "__main__":
    main(*sys.argv[1:])
