"""How the process side behaves, next to circus, supervisord and gunicorn in one run.

    python -m benchmarks.ops --help

Everything is measured from outside: the processes under each manager report
their birth themselves, /proc tells what a manager costs, and a load of HTTP
clients tells what visitors see of a reload.
"""
