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
    struct conn *conn;         /* borrowed; of a WebSocket, NULL when it is closed */
    struct websocket *socket;  /* owned; of a WebSocket, else NULL */
    PyObject *receiver;        /* owned: the future that receive() waits for, or NULL */
    PyObject *sender;          /* owned: the future that send() waits for, or NULL */
    bool read_all;             /* the application has had all of the body */
    bool gone;                 /* the peer has gone */
};

extern const struct driver ASGI_DRIVER;

/* ---- asgi.c --------------------------------------------------------------------- */
/* The response is complete: lets the connection go on to its next request. */
void call_finish(struct call *call);
/* The peer has gone: nothing more is sent, and receive() says so. */
void call_lost(struct call *call);

/* ---- asgi_scope.c ------------------------------------------------------------- */
int scopes_ready(void);
/* A new scope, or NULL with an exception: ValueError for a malformed target. */
PyObject *scope_build(struct server *server, struct conn *conn, const struct request *request,
                      const struct forwarded *said);
struct scope_cache *scope_cache_new(void);
void scope_cache_free(struct scope_cache *cache);

/* ---- asgi_await.c --------------------------------------------------------------- */
/* What an operation finds when it is tried (`message` is NULL when it was taken before): a new reference in *result (1), that it has to wait
 * for the future in *future, a new reference (0), or an exception (-1). */
typedef int attempt(struct call *call, PyObject *message, PyObject **result, PyObject **future);
int awaitables_ready(void);
/* An awaitable (and a coroutine by its methods) that tries until it need not wait. */
PyObject *operation_new(attempt *attempt, struct call *call, PyObject *message);
/* Resolves *future, if there is one, and drops it. */
void wake(PyObject **future);
/* A new future of the running loop that is also kept in *place. */
PyObject *wait_in(struct server *server, PyObject **place);

/* ---- asgi_http.c ----------------------------------------------------------------- */
attempt http_receive, http_send;
int http_ready(void);

/* ---- asgi_task.c ------------------------------------------------------------------ */
int tasks_ready(void);
/* Calls the application and takes its first step. */
void task_start(struct lane *lane, struct call *call, PyObject *scope, PyMethodDef *receive,
                PyMethodDef *send);
/* What the application left undone when it ended; `error` (borrowed) is what it raised, or NULL. */
void call_ended(struct call *call, PyObject *error);

#endif
