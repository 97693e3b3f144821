"""circusd-stats: publishes what processes, watchers, workers and sockets do, second for second.

A client of an arbiter's endpoints, and of /proc. It never reaches into the
arbiter: whom to look at it hears from events, and the figures of workers it
reads from the scoreboard, which it maps read-only.
"""
