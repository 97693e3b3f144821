"""One consumer: takes documents from the queue, makes their previews.

A job is moved to a list of this consumer's own while it is worked on. Whoever
takes this consumer's place (the same number, $(circus.wid)) does first what was
left there, so a job is not lost with its consumer. SIGTERM lets it finish its job;
while it waits for one, or for Redis, it leaves at once.
"""

import os
import signal
import sys

import jobs


def main(number):
    server = jobs.connect()
    own = f"taken:{number}"
    state = {"busy": False, "leaving": False}

    def leave(*_):
        state["leaving"] = True
        if not state["busy"]:
            sys.exit()

    signal.signal(signal.SIGTERM, leave)
    print(f"consumer {number} is here", flush=True)
    left = server.lrange(own, 0, -1)
    while not state["leaving"]:
        if left:
            document = left.pop()
            print(f"document {document} was left behind", flush=True)
        else:
            document = server.blmove(jobs.QUEUE, own, timeout=0, src="RIGHT", dest="LEFT")
        state["busy"] = True
        work(server, own, document)
        state["busy"] = False


def work(server, own, document):
    key = f"document:{document}"
    server.hset(key, mapping={"state": "working", "pid": os.getpid()})
    text = server.hget(key, "text") or ""
    if text.startswith("crash ") and server.hincrby(key, "tries") == 1:
        os.abort()  # so that you can see what happens then
    path = jobs.PLACE / f"{document}.png"
    fresh = path.with_suffix(".new")
    fresh.write_bytes(jobs.make_preview(text))
    fresh.rename(path)
    done = {"state": "done", "words": len(text.split()), "preview": f"/previews/{document}.png"}
    server.hset(key, mapping=done)
    server.lrem(own, 1, document)
    print(f"document {document} is done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
