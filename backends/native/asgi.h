/* ASGI 3 on the core: what the parts of the driver share. Needs the GIL throughout.
 *
 * The event loop is asyncio's: it watches the core's epoll descriptor, and one callback handles
 * a batch of what is ready. Each request runs in a real asyncio.Task of its own, whose first
 * step is taken at once; most are over with it.
 */
#ifndef CHAUSSETTE_ASGI_H
#define CHAUSSETTE_ASGI_H

#include "core.h"

/* One request as the application has it: what `receive` and `send` work on. */
struct call {
    PyObject_HEAD
    struct server *server;     /* owned */
    struct exchange *exchange; /* borrowed; NULL once the response is complete or the peer gone */
    struct websocket *socket;  /* owned; of a WebSocket, else NULL */
    PyObject *receiver;        /* owned: what receive() waits for, see wait_in(); or NULL */
    PyObject *sender;          /* owned: what send() waits for, or NULL */
    PyObject *task;            /* owned: that it goes on in, from when it first waits; or NULL */
    struct call *next, **link; /* of the server's list, which owns it while it has a task */
    uint64_t paused_ms;        /* since when the body is not read on; 0: it is */
    bool read_all;             /* the application has had all of the body */
    bool gone;                 /* the peer has gone */
};

extern const struct driver ASGI_DRIVER;

/* ---- asgi.c --------------------------------------------------------------------- */
/* The response is complete: lets the connection go on to its next request. */
void call_finish(struct call *call);
/* The peer has gone: nothing more is sent, and receive() says so. */
void call_lost(struct call *call);
/* The application waits for the first time: the server keeps it from now on. */
void call_waits(struct call *call, PyObject *task);
/* Before the server's memory goes: what is under way is lost. */
void calls_close(struct server *server);

/* ---- asgi_scope.c ------------------------------------------------------------- */
int scopes_ready(void);
/* A new scope, or NULL with an exception: ValueError for a malformed target. */
PyObject *scope_build(struct server *server, struct conn *conn, const struct request *request,
                      const struct forwarded *said);
struct scope_cache *scope_cache_new(void);
void scope_cache_free(struct scope_cache *cache);

/* ---- asgi_await.c --------------------------------------------------------------- */
/* What an operation finds when it is tried (`message` is NULL when it was taken before): a new
 * reference in *result (1), that it has to wait for the future in *future, a new reference, or,
 * if that is NULL, for a turn of the loop (0), or an exception (-1). */
typedef int attempt(struct call *call, PyObject *message, PyObject **result, PyObject **future);
int awaitables_ready(void);
/* An awaitable (and a coroutine by its methods) that tries until it need not wait. */
PyObject *operation_new(attempt *attempt, struct call *call, PyObject *message);
/* Resolves all that waits in *place. */
void wake(PyObject **place);
/* A new future of the running loop that is also kept in *place: alone, or in a list with others
 * that are waited for at the same time. */
PyObject *wait_in(struct server *server, PyObject **place);

/* ---- asgi_http.c ----------------------------------------------------------------- */
attempt http_receive, http_send;
int http_ready(void);
/* Renders the fields that the application gives. 0, or -1 with an exception. */
int read_headers(struct exchange *exchange, PyObject *headers);
/* The exception of whoever sends when the peer has gone: an OSError. Returns -1. */
int raise_gone(void);
/* Whether an exception, or what it came of, is what send() raises when the peer has gone. */
bool is_of_the_peer(PyObject *error);

/* ---- asgi_task.c ------------------------------------------------------------------ */
int tasks_ready(void);
/* Calls the application and takes its first step. */
void task_start(struct lane *lane, struct call *call, PyObject *scope, PyMethodDef *receive,
                PyMethodDef *send);
/* What the application left undone when it ended; `error` (borrowed) is what it raised, or NULL. */
void call_ended(struct call *call, PyObject *error);

#endif
