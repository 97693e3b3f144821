/* WSGI in gevent's greenlets: what the parts of the driver share. Needs the GIL throughout.
 *
 * The loop is gevent's: its hub watches the core's epoll descriptor, and one callback handles a
 * batch of what is ready. No code of the application runs while bytes are parsed: a complete
 * request goes into a line, what came behind it is kept by its connection, and at the end of
 * the batch greenlets take requests from the line. So nothing on the C stack of a batch, and no
 * buffer of the lane, is alive while the application runs, which may switch at any time.
 *
 * greenlet is used through Python calls alone: its headers are not needed, and a switch more or
 * less costs far less than a request.
 */
#ifndef CHAUSSETTE_GREENLETS_H
#define CHAUSSETTE_GREENLETS_H

#include "core.h"

struct runner;

struct line { /* of exchanges, by their `next` */
    struct exchange *first, **last;
    uint32_t count;
};

struct greenlets {
    struct server *server;     /* borrowed: it owns this */
    PyObject *hub;             /* owned */
    PyObject *hub_switch;      /* owned: hub.switch */
    PyObject *getcurrent;      /* owned */
    PyObject *type;            /* owned: greenlet.greenlet */
    PyObject *strict;          /* owned: gevent.Greenlet, for one per request; or NULL */
    PyObject *body;            /* owned: what a greenlet runs */
    struct line ready;         /* wait for a greenlet */
    struct line woken;         /* their greenlets may go on */
    struct runner *starting;   /* whose greenlet begins to run, for its first line */
    struct runner *idle;       /* wait for requests */
    uint32_t active;           /* requests that greenlets are at work on */
    uint32_t limit;            /* of them; 0: none */
    uint64_t began_ns;         /* of the batch */
    uint64_t cpu_start_ns;     /* CPU time of the thread before the first batch */
    uint64_t counted_ns;       /* when it was last looked at */
    uint32_t since_look;       /* requests since the clock was read */
    bool over;                 /* the batch has taken its time, or there is none */
    bool called;               /* a visit is asked for already */
};

/* Serves in greenlets from now on, as `dict` says: {"hub", "getcurrent", "greenlet", "strict",
 * "greenlets"}. 0, or -1 with an exception. */
int greenlets_start(struct server *server, PyObject *dict);
void greenlets_stop(struct server *server);
/* New reference: a list of the greenlets that are at work on requests. */
PyObject *greenlets_list(struct server *server);

/* ---- runner.c: greenlets that run one request after the other -------------------- */
/* Lets a greenlet take requests from the line until it is empty, or one of them waits. 0, or
 * -1 with an exception: there is no greenlet to be had. */
int runner_start(struct greenlets *greenlets);
void runners_free(struct greenlets *greenlets);
/* What the runners' greenlets run. */
PyObject *runner_body(struct server *server);

/* The next request that has its turn, or NULL. */
struct exchange *greenlets_next(struct greenlets *greenlets);
/* Runs it to its end in the greenlet that calls (borrowed). */
void greenlets_run(struct greenlets *greenlets, struct exchange *exchange, PyObject *greenlet);
/* Asks the hub for a visit. */
void greenlets_call(struct greenlets *greenlets);

/* ---- arena.c ------------------------------------------------------------------------ */
/* Keeps the memory of the frames of greenlets that have ended for those that begin. */
void arena_keep(void);

#endif
