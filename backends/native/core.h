/* The structures that the parts of a server share, and what each part offers the others.
 *
 * Threads: everything here is touched with the GIL held, but for what guard.h lists.
 * A server has one lane per thread that may run the application. One lane at a time
 * leads: it alone waits for events. Who is in the application when another takes the
 * lead finishes its own connection and no other.
 */
#ifndef CHAUSSETTE_CORE_H
#define CHAUSSETTE_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>

#include "accesslog.h"
#include "body.h"
#include "forwarded.h"
#include "head.h"
#include "live.h"
#include "logbuf.h"
#include "parse.h"
#include "wheel.h"

#define SLAB 64                /* connections that are allocated at a time */
#define BATCH 256              /* events of one epoll_wait */
#define READ_SIZE (64 * 1024)  /* bytes of one recv */
#define OUT_SIZE (256 * 1024)  /* bytes of answers that wait for the end of a batch */
#define BODY_AHEAD (256 * 1024) /* bytes of a body that wait for the application to read */
#define SMALL (16 * 1024)      /* a block up to this is copied behind its head */
#define SERVER_NAME_TEXT "Chaussette"

struct call;
struct conn;
struct exchange;
struct lane;
struct server;
struct start_response;
struct websocket;

/* ---- settings, copied from Python once --------------------------------- */

struct options {
    struct parse_limits head;
    struct chunk_limits chunks;
    uint64_t max_body;       /* bytes; 0: no limit */
    size_t body_memory;      /* bytes of a body kept in memory */
    size_t out_memory;       /* bytes of a response kept in memory for a slow reader */
    uint64_t out_file;       /* bytes of it kept in a file, past which the application waits */
    char *directory;         /* of temporary files; owned */
    uint32_t head_ms, body_ms, idle_ms, write_ms;
    uint32_t min_rate;       /* bytes per second of a body; 0: none */
    uint32_t max_conns;
    uint64_t max_requests;   /* 0: no limit */
    uint32_t beat_ms;        /* longest time without a heartbeat */
    uint32_t drain_ms;       /* graceful timeout */
    uint32_t grace_ms;       /* of idle connections in a drain */
    uint32_t ping_ms;        /* of silence, before an upgraded connection is asked; 0: never */
    uint64_t ws_message;     /* bytes of a WebSocket's message, at most; 0: no limit */
    bool proxy_protocol;
    bool shared;             /* other workers accept from the same sockets */
};

/* ---- one listening socket ---------------------------------------------- */

struct listener {
    int fd;
    bool armed;          /* its descriptor is in the epoll set */
    bool is_unix;
    PyObject *template_; /* owned: environ of a request before its own keys */
};

/* ---- one connection ---------------------------------------------------- */

enum conn_state {
    CONN_PROXY,  /* waits for a PROXY line */
    CONN_HEAD,   /* waits for a request, or for the rest of its head */
    CONN_BODY,   /* waits for the rest of a body */
    CONN_APP,    /* the application has it */
    CONN_RAW,    /* upgraded: its bytes are the driver's */
    CONN_SEND,   /* its answer waits until the peer reads */
    CONN_LINGER, /* half-closed; what still comes is thrown away */
    CONN_CLOSED, /* waits for the end of the batch to be freed */
};

enum conn_want { WANT_NOTHING, WANT_IN, WANT_OUT, WANT_BOTH };

/* What is under way of one response: blocks that the peer has not taken yet. */
struct out_item {
    struct out_item *next;
    PyObject *bytes; /* owned, or NULL */
    char *memory;    /* owned, or NULL */
    int file;        /* owned, or -1 */
    uint64_t at, end;
    uint64_t trimmed; /* bytes at the beginning of the file that are given back */
};

struct conn {
    struct timer timer; /* first: a timer is its connection */
    struct server *server;
    int fd;
    uint8_t state;          /* enum conn_state */
    uint8_t want;           /* enum conn_want, as the epoll set knows it */
    uint8_t listener;       /* index */
    bool closing : 1;       /* no further request is read */
    bool linger : 1;        /* half-close first: the peer may still be sending */
    bool ended : 1;         /* the peer sends no more */
    bool seen : 1;          /* had a request already: a wait is an idle one */
    bool pending : 1;       /* has an answer in its lane's batch */
    bool handed : 1;        /* came from a sibling: is not handed on again */
    struct exchange *exchange; /* owned; the request under way, or NULL */
    char *in;               /* owned; bytes that wait for more, or NULL */
    uint32_t in_len, in_room;
    uint32_t in_line;       /* bytes of `in` behind its last line feed */
    uint64_t started_ms;    /* when the head, or the body, began */
    uint64_t lingered;      /* bytes thrown away */
    struct out_item *out, **out_end;
    uint64_t out_memory;    /* bytes in memory */
    struct out_item *spool; /* the file at the end of the queue, or NULL */
    PyObject *addr, *port;  /* owned; REMOTE_ADDR and REMOTE_PORT, made when first needed */
    struct peer peer;
    struct conn *next;      /* free or dead list */
};

/* ---- one request and its response --------------------------------------- */

enum response_phase { RESPONSE_NONE, RESPONSE_STARTED, RESPONSE_HEAD_SENT, RESPONSE_DONE };

struct exchange {
    struct exchange *next; /* free list */
    struct conn *conn;
    PyObject *environ;     /* owned */
    PyObject *bytes;       /* owned: a body that came in one piece, or NULL */
    struct start_response *start; /* owned */
    struct body body;
    struct chunked chunked;
    uint64_t body_left;    /* of Content-Length */
    uint64_t received;     /* bytes of the body so far */
    uint8_t minor;
    bool is_head : 1;      /* HEAD: no body on the wire */
    bool is_chunked : 1;   /* the request's body is */
    bool has_body : 1;
    bool keep_alive : 1;
    bool out_chunked : 1;  /* the response's body is */
    bool no_body : 1;      /* no body may go on the wire */
    bool failed : 1;       /* counted as an error */
    bool expects : 1;      /* the client waits for 100 Continue */
    bool begun : 1;        /* the application has been called */
    bool complete : 1;     /* all of the body has come */
    bool held : 1;         /* its greenlet waits until the peer has taken what is queued */
    bool woken : 1;        /* and is about to go on */
    bool is_small : 1;     /* there is no room for a head behind it any more */
    PyObject *call;        /* owned: the driver's own, or NULL */
    uint8_t phase;         /* enum response_phase */
    uint64_t sent;         /* bytes of the response's body */
    uint64_t began_ns;     /* CLOCK_MONOTONIC, with an access log only */
    int64_t wall_ns;       /* CLOCK_REALTIME, with an access log only */
    char *kept;            /* owned copy of the request's head, with an access log only */
    size_t kept_room;
    struct slice method, target, path, query, referer, agent; /* into kept */
    struct slice authorization;
    struct field *fields;  /* owned copy, only if the format asks for request fields */
    uint32_t field_count;
    struct head head;      /* last: what is above is zeroed for each request */
};

/* ---- one thread --------------------------------------------------------- */

struct answer { /* bytes of the lane's buffer that belong to one connection */
    struct conn *conn;
    uint32_t at, len;
};

struct lane {
    struct server *server;
    struct request request; /* the head under the parser */
    char *in;               /* READ_SIZE bytes */
    char *out;              /* answers that wait for the end of the batch */
    uint32_t out_len;
    struct answer answers[BATCH];
    uint32_t answer_count;
    uint64_t first_answer_ns, first_answer_call;
    uint64_t calls;         /* of the application, so far */
    bool in_app;
    struct websocket *upgrade; /* owned: of the request whose head was read just now, or NULL */
    struct epoll_event events[BATCH];
};

/* ---- drivers ------------------------------------------------------------------- */

/* How requests reach the application; one table per kind of server. */
struct driver {
    /* The head is complete: keeps what it needs of it. 0, or a status to refuse with. */
    int (*head)(struct lane *lane, struct exchange *exchange, struct request *request,
                const char **reason);
    /* Calls the application: when the body is complete, or, with `more`, when all is read
     * that came along with the head. */
    void (*run)(struct lane *lane, struct exchange *exchange);
    /* NULL: the driver wants bodies whole. Else more of the body has come, or its end. */
    void (*more)(struct lane *lane, struct exchange *exchange);
    /* Bytes of an upgraded connection; how many are done with. */
    size_t (*raw)(struct lane *lane, struct conn *conn, const char *data, size_t len);
    /* NULL, or: has a look at an upgraded connection every ping_ms; false ends it. */
    bool (*idle)(struct conn *conn);
    /* NULL, or: the worker drains, and an upgraded connection is to end. */
    void (*leave)(struct conn *conn);
    /* The peer has gone, or has sent its last byte. */
    void (*gone)(struct conn *conn);
    /* The peer has taken all that was queued for it. */
    void (*drained)(struct lane *lane, struct conn *conn);
    /* NULL, or: the connection was closed while the application has the request. */
    void (*closed)(struct conn *conn);
    /* NULL, or: the events of a step are handled; the place for what `run` put off. */
    void (*batch)(struct lane *lane);
    /* NULL: what a slow peer does not take goes into a file. Else nothing does, and this lets
     * the application wait until the peer has taken it. 0, or -1: closed, or an exception. */
    int (*hold)(struct conn *conn);
};
extern const struct driver WSGI_DRIVER, ASGI_DRIVER;
int asgi_ready(void);
/* Ends what is under way: the peers are gone, and the tasks are cancelled. A new list of those
 * tasks, or NULL with an exception. */
PyObject *asgi_cut(struct server *server);

/* ---- the server ---------------------------------------------------------- */

struct name_cache;
struct greenlets;
struct scope_cache;

struct server {
    PyObject_HEAD
    PyObject *app;          /* owned */
    const struct driver *driver;
    struct greenlets *greenlets; /* owned; or NULL */
    PyObject *on_error;     /* owned: called with what the application raised */
    PyObject *on_finished;  /* owned: called when all is done, where the loop is another's; or NULL */
    PyObject *loop;         /* owned: asyncio's, or NULL */
    PyObject *state;        /* owned: what lifespan left, or NULL */
    struct scope_cache *scopes;
    struct call *calls;     /* owned list: those whose application has not ended */
    struct conn **resumed;  /* have their next request in memory */
    uint32_t resumed_count, resumed_room;
    int timer;              /* timerfd, where the loop is another's; or -1 */
    uint64_t timer_ms;      /* when it ends the wait; 0: never */
    bool in_step;
    struct options options;
    struct listener *listeners;
    uint32_t listener_count;
    bool accepting;
    int epoll;
    int wake;               /* eventfd */
    struct wheel wheel;
    uint64_t now_ms;        /* CLOCK_MONOTONIC_COARSE of this batch */
    struct lane **lanes;
    uint32_t lane_count;
    struct lane *leader;
    struct conn *free, *dead;
    struct conn **slabs;    /* every connection ever made, for the drain's walk */
    uint32_t slab_count;
    uint32_t conns;         /* open ones */
    struct exchange *exchanges; /* free list */
    uint32_t exchange_count;
    struct name_cache *names;
    uint64_t *slot;         /* the scoreboard's words */
    Py_buffer slot_view;
    uint32_t in_flight;     /* applications that are being called, by any lane */
    uint64_t requests;
    uint64_t request_cost_ns; /* of one request, lately */
    const void *served;     /* the connection that had its turn last; compared, never followed */
    bool cut_short;         /* the last batch was not handled to its end */
    int32_t pid;
    bool drain_asked, draining, stopped;
    uint64_t drain_end_ms, idle_end_ms, next_accept_ms;
    char date[64];          /* "Date: ...\r\n" */
    uint32_t date_len;
    int64_t date_second;
    struct log_format *log_format;
    struct logbuf *log;
    struct trust *trust, *proxy_trust;
    struct guard *guard;
};

static inline bool slice_equals(struct slice text, const char *word) {
    size_t len = strlen(word);
    return text.len == len && memcmp(text.at, word, len) == 0;
}

/* ---- clock.c -------------------------------------------------------------- */
uint64_t clock_ms(void);
uint64_t clock_ns(void);
int64_t wall_ns(void);
/* Refreshes server->date at most once per second. */
void date_refresh(struct server *server);

/* ---- accept.c ------------------------------------------------------------- */
/* Puts the listening sockets into the epoll set, or takes them out, as the server's state asks. */
void listeners_arm(struct server *server);
/* Accepts: one connection where siblings share the socket, else a handful. */
void listener_accept(struct lane *lane, struct listener *listener);

/* ---- conn.c --------------------------------------------------------------- */
/* A connection of an accepted descriptor, which it owns from now on, that waits for nothing
 * yet; NULL (and fd closed) without memory. */
struct conn *conn_open(struct server *server, int fd, uint32_t listener);
/* Events of the epoll set. */
void conn_event(struct lane *lane, struct conn *conn, uint32_t events);
/* A deadline has passed. */
void conn_expired(struct lane *lane, struct conn *conn);
/* Closes at once; the structure is freed at the end of the batch. */
void conn_close(struct conn *conn);
/* The same, with a reset: the peer is told that something is missing, and nothing is kept for it. */
void conn_reset(struct conn *conn);
/* The application is done with it: the next request, or the end once all is sent. */
void conn_answered(struct conn *conn);
/* Its part of a batch went to the kernel or into its queue. */
void conn_sent(struct conn *conn);
/* Its queue is empty: goes on with bytes that were read before, or ends. */
void conn_resume(struct lane *lane, struct conn *conn);
/* Its queue is empty while a request is on its way, or under way: goes on with that. */
void conn_taken(struct lane *lane, struct conn *conn);
void conn_want(struct conn *conn, enum conn_want want);
/* Watches a new connection, if it waits for its peer. */
void conn_await(struct conn *conn);
void conn_free_all(struct server *server);
/* Gives closed ones back; only between two batches, as events may point at them. */
void conns_bury(struct server *server);
/* A sibling has its descriptor now: ends it here, without the GIL. */
void conn_left(struct conn *conn);
/* Looks at an upgraded connection in ping_ms. */
void conn_watch(struct conn *conn);
/* An upgraded connection has bytes in memory and may take them. */
void conn_take(struct lane *lane, struct conn *conn);
/* Idle ones are closed at that time at the latest, and upgraded ones end. */
void conns_shorten(struct server *server, uint64_t due_ms);
/* Answers without the application, and closes. */
void conn_refuse(struct lane *lane, struct conn *conn, int status, const char *reason);

/* ---- exchange.c ------------------------------------------------------------ */
struct exchange *exchange_open(struct server *server, struct conn *conn);
void exchange_close(struct exchange *exchange);
/* Gives back the room of a head that is on its way, for an exchange that lasts; where it is now. */
struct exchange *exchange_shrink(struct exchange *exchange);
/* Keeps what the access log will want of a head that is about to be overwritten; 0, or -1. */
int exchange_keep(struct exchange *exchange, const struct request *request, const char *head);
/* Writes the line of a request that is over, if there is an access log. */
void exchange_log(struct exchange *exchange, int status);
void exchanges_free(struct server *server);
/* What an application is given of a request: a new dict, or NULL with an exception (ValueError: the
 * target is malformed). `said` is what a trusted proxy says of it, or NULL. */
typedef PyObject *describe(struct server *server, struct conn *conn, const struct request *request,
                           const struct forwarded *said);
/* Puts that into exchange->environ. 0, or the status to refuse with. */
int exchange_describe(struct server *server, struct exchange *exchange,
                      const struct request *request, describe *describe, const char **reason);
/* 100 Continue, if the client waits for it. */
void exchange_continue(struct lane *lane, struct exchange *exchange);

/* ---- out.c: bytes on their way out ----------------------------------------- */
/* Room for `len` bytes of an answer in the lane's buffer; NULL when `len` is more than OUT_SIZE.
 * Bytes written there are announced with out_wrote(). */
char *out_room(struct lane *lane, struct conn *conn, size_t len);
void out_wrote(struct lane *lane, struct conn *conn, size_t len);
/* Sends what waits in the lane's buffer, and queues what the peers do not take. */
void out_flush(struct lane *lane);
/* Sends a block now, behind what waits for this connection, and queues what the peer does not
 * take. `bytes` (borrowed, or NULL) keeps `block` alive. 0, or -1: the connection is closed. */
int out_send(struct lane *lane, struct conn *conn, PyObject *bytes, const char *block, size_t len,
             const char *tail, size_t tail_len);
/* Sends a range of a file. Takes the descriptor over, also on failure. 0, or -1: closed. */
int out_send_file(struct lane *lane, struct conn *conn, int fd, uint64_t at, uint64_t end);
/* The peer takes bytes again. */
void out_continue(struct lane *lane, struct conn *conn);
/* Sends what waits, unless a step is under way that will. */
void out_settle(struct server *server);
/* Holds the application back while more than the limits waits for this peer. 0, or -1: closed.
 * Lets other threads in; only while the application has the connection. */
int out_throttle(struct conn *conn);
/* Throws the queue away. */
void out_clear(struct conn *conn);

/* ---- environ.c --------------------------------------------------------------- */
int names_ready(void);
struct name_cache *names_new(void);
void names_free(struct name_cache *names);
/* A new environ, or NULL with an exception. */
PyObject *environ_build(struct server *server, struct conn *conn, const struct request *request,
                        const struct forwarded *said);
/* Adds wsgi.input, and CONTENT_LENGTH of a body that was chunked. Steals `input`. */
int environ_add_body(PyObject *environ, PyObject *input, int64_t length);

/* ---- start_response.c ----------------------------------------------------------- */
struct start_response {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct exchange *exchange; /* borrowed; NULL once the request is over */
    struct lane *lane;         /* borrowed; of the thread that calls the application */
};
int start_response_ready(void);
/* New reference, or NULL with an exception. */
struct start_response *start_response_new(struct lane *lane, struct exchange *exchange);
/* Takes the request's reference back: reused when nobody else holds one. */
void start_response_release(struct start_response *start);

/* ---- wsgi.c: of use to each driver that calls a WSGI application ---------------- */
/* The driver's `head`. */
int wsgi_head(struct lane *lane, struct exchange *exchange, struct request *request,
              const char **reason);
/* Calls the application and sends what it answers. The exchange is over then. */
void wsgi_run(struct lane *lane, struct exchange *exchange);

/* ---- response.c ------------------------------------------------------------------ */
/* One block of the body; sends the head first. `whole`: it is all of the body. 0, or -1: the
 * connection is closed. */
int response_block(struct lane *lane, struct exchange *exchange, PyObject *bytes, bool whole);
/* The rest of a head whose beginning is written already: its fields, the server's own, and the
 * empty line. Returns the bytes written: head->len, the date's and some 30 more. */
size_t response_tail(const struct server *server, const struct head *head, char *out);
/* The head alone, with its length if it is known (-1: it is not). 0, or -1. */
int response_head(struct lane *lane, struct exchange *exchange, int64_t length);
/* A file as all of the body. Takes the descriptor over, also on failure. 0, or -1: closed. */
int response_file(struct lane *lane, struct exchange *exchange, int fd, int64_t at, int64_t count);
/* The end of the body. */
void response_end(struct lane *lane, struct exchange *exchange);

/* ---- loop.c --------------------------------------------------------------------- */
/* Handles what is ready; waits up to timeout_ms (-1: until something is). -1 with an exception. */
int loop_step(struct lane *lane, int timeout_ms);
/* Where the loop is another's: handles what is ready, and sets the timer for the next time. */
int loop_visit(struct server *server);
/* Where the loop is another's: reads the clocks anew, unless a step has done so. */
void loop_refresh(struct server *server);
/* Makes the loop take a step soon. */
void loop_poke(struct server *server);
/* Its next request is in memory: it has its turn in the next step. */
void loop_resume(struct conn *conn);
/* Runs a lane until the server is finished; -1 with an exception. */
int loop_run(struct lane *lane);
/* Around each call of the application. */
void loop_before_app(struct lane *lane);
void loop_after_app(struct lane *lane);
/* No new connections; what is under way is answered. */
void server_drain(struct server *server);
bool server_finished(struct server *server);
void slot_add(struct server *server, int word, int64_t amount);

enum slot_word { SLOT_STATE, SLOT_PID, SLOT_IN_FLIGHT, SLOT_REQUESTS, SLOT_BUSY, SLOT_SENT, SLOT_BEAT, SLOT_ERRORS };

#endif
