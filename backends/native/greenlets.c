/* The driver: which request has its turn in which greenlet, and who waits for its client. */
#include "greenlets.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BATCH_NS 1000000   /* a batch of the application's calls is cut short after this */
#define CHEAP_NS 20000     /* calls below this are timed LOOK at a time */
#define LOOK 16
#define CPU_EVERY_NS 1000000

/* ---- lines --------------------------------------------------------------------------- */

static void line_start(struct line *line) { *line = (struct line){.last = &line->first}; }

static void line_add(struct line *line, struct exchange *exchange) {
    exchange->next = NULL;
    *line->last = exchange;
    line->last = &exchange->next;
    line->count++;
}

static void line_add_first(struct line *line, struct exchange *exchange) {
    exchange->next = line->first;
    line->first = exchange;
    if (exchange->next == NULL)
        line->last = &exchange->next;
    line->count++;
}

static struct exchange *line_take(struct line *line) {
    struct exchange *exchange = line->first;

    if (exchange == NULL)
        return NULL;
    line->first = exchange->next;
    if (line->first == NULL)
        line->last = &line->first;
    line->count--;
    exchange->next = NULL;
    return exchange;
}

static void line_remove(struct line *line, const struct exchange *exchange) {
    struct exchange *each;

    for (uint32_t i = line->count; i > 0; i--)
        if ((each = line_take(line)) != exchange)
            line_add(line, each);
}

/* ---- turns ------------------------------------------------------------------------------ */

void greenlets_call(struct greenlets *greenlets) {
    const uint64_t one = 1;

    if (greenlets->called)
        return;
    greenlets->called = true;
    if (write(greenlets->server->wake, &one, sizeof one) < 0)
        return; /* it is awake already */
}

static bool has_room(const struct greenlets *greenlets) {
    return greenlets->limit == 0 || greenlets->active < greenlets->limit;
}

/* Whether this batch has taken its time. The clock is read more often where calls are slow. */
static bool is_over(struct greenlets *greenlets) {
    if (greenlets->over)
        return true;
    if (greenlets->server->request_cost_ns < CHEAP_NS && ++greenlets->since_look < LOOK)
        return false;
    greenlets->since_look = 0;
    greenlets->over = clock_ns() - greenlets->began_ns > BATCH_NS;
    return greenlets->over;
}

/* A request whose connection is closed needs no answer. */
static void forget(struct exchange *exchange) {
    struct conn *conn = exchange->conn;

    exchange_close(exchange);
    conn_answered(conn);
}

struct exchange *greenlets_next(struct greenlets *greenlets) {
    struct exchange *exchange;

    if (greenlets->ready.count == 0 || !has_room(greenlets) || is_over(greenlets))
        return NULL;
    while ((exchange = line_take(&greenlets->ready)) != NULL) {
        if (exchange->conn->state != CONN_CLOSED)
            return exchange;
        forget(exchange);
    }
    return NULL;
}

void greenlets_run(struct greenlets *greenlets, struct exchange *exchange, PyObject *greenlet) {
    struct server *server = greenlets->server;
    struct conn *conn = exchange->conn;

    exchange->call = Py_NewRef(greenlet);
    greenlets->active++;
    wsgi_run(server->lanes[0], exchange);
    greenlets->active--;
    /* Its next request is here already: it goes on at once, into the same send. */
    if (conn->state == CONN_HEAD && conn->in_len > 0)
        conn_resume(server->lanes[0], conn);
    if (server->in_step)
        return;
    out_flush(server->lanes[0]);
    greenlets_call(greenlets); /* for deadlines, the log, the drain, those who wait in line */
}

static uint64_t cpu_ns(void) {
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A worker is busy for as long as its thread computes, not while its greenlets wait. */
static void count_cpu(struct greenlets *greenlets) {
    if (greenlets->began_ns - greenlets->counted_ns < CPU_EVERY_NS)
        return;
    greenlets->counted_ns = greenlets->began_ns;
    greenlets->server->slot[SLOT_BUSY] = cpu_ns() - greenlets->cpu_start_ns;
}

static void wake_all(struct greenlets *greenlets) {
    struct exchange *exchange;

    for (uint32_t i = greenlets->woken.count; i > 0; i--) {
        PyObject *greenlet, *done;
        if ((exchange = line_take(&greenlets->woken)) == NULL)
            return;
        exchange->woken = false;
        greenlet = Py_NewRef(exchange->call);
        done = PyObject_CallMethod(greenlet, "switch", NULL);
        if (done == NULL)
            PyErr_WriteUnraisable(greenlet);
        Py_XDECREF(done);
        Py_DECREF(greenlet);
    }
}

static void refuse_next(struct lane *lane, struct greenlets *greenlets) {
    struct exchange *exchange = line_take(&greenlets->ready);
    struct conn *conn = exchange->conn;

    PyErr_WriteUnraisable(lane->server->app);
    conn_close(conn);
    forget(exchange);
}

/* <- called by each step, in the hub: nothing of the step is on the stack but this. */
static void greenlets_batch(struct lane *lane) {
    struct server *server = lane->server;
    struct greenlets *greenlets = server->greenlets;

    greenlets->called = greenlets->over = false;
    greenlets->began_ns = clock_ns();
    count_cpu(greenlets);
    wake_all(greenlets);
    while (greenlets->ready.count > 0 && has_room(greenlets) && !is_over(greenlets))
        if (runner_start(greenlets) < 0)
            refuse_next(lane, greenlets);
    greenlets->over = true;
    if (greenlets->ready.count > 0 && has_room(greenlets))
        greenlets_call(greenlets);
    server->accepting = has_room(greenlets);
}

/* What is pipelined behind a request goes on at once, until the batch has taken its time. */
static void greenlets_queue(struct lane *lane, struct exchange *exchange) {
    struct greenlets *greenlets = lane->server->greenlets;

    if (greenlets->over)
        line_add(&greenlets->ready, exchange);
    else
        line_add_first(&greenlets->ready, exchange);
}

/* ---- who waits for its client --------------------------------------------------------------- */

static void go_on(struct conn *conn) {
    struct greenlets *greenlets = conn->server->greenlets;
    struct exchange *exchange = conn->exchange;

    if (exchange == NULL || !exchange->held || exchange->woken)
        return;
    exchange->woken = true;
    line_add(&greenlets->woken, exchange);
    greenlets_call(greenlets);
}

static void greenlets_drained(struct lane *lane, struct conn *conn) {
    (void)lane;
    go_on(conn);
}

/* Lets the other greenlets run until the peer has taken what waits for it. */
static int greenlets_hold(struct conn *conn) {
    struct greenlets *greenlets = conn->server->greenlets;
    struct exchange *exchange = conn->exchange;
    PyObject *current = PyObject_CallNoArgs(greenlets->getcurrent), *done;
    bool is_other = current != exchange->call;

    if (current == NULL)
        return -1;
    Py_DECREF(current);
    if (is_other) /* the application gave write() away: the request may end in between */
        return 0;
    exchange->held = true;
    while (conn->state != CONN_CLOSED && conn->out != NULL) {
        if ((done = PyObject_CallNoArgs(greenlets->hub_switch)) == NULL)
            break;
        Py_DECREF(done);
        loop_refresh(conn->server);
    }
    exchange->held = false;
    if (exchange->woken)
        line_remove(&greenlets->woken, exchange);
    exchange->woken = false;
    return PyErr_Occurred() || conn->state == CONN_CLOSED ? -1 : 0;
}

static const struct driver GREENLET_DRIVER = {
    .head = wsgi_head,
    .run = greenlets_queue,
    .gone = go_on,
    .closed = go_on,
    .drained = greenlets_drained,
    .batch = greenlets_batch,
    .hold = greenlets_hold,
};

/* ---- beginning and end ------------------------------------------------------------------------ */

static int take(PyObject *dict, const char *name, PyObject **place) {
    PyObject *value = PyDict_GetItemString(dict, name);

    if (value == NULL) {
        PyErr_Format(PyExc_KeyError, "option %s is missing", name);
        return -1;
    }
    *place = value == Py_None ? NULL : Py_NewRef(value);
    return 0;
}

static int take_all(struct greenlets *greenlets, PyObject *dict) {
    PyObject *limit = PyDict_GetItemString(dict, "greenlets");

    if (take(dict, "hub", &greenlets->hub) < 0 ||
        take(dict, "getcurrent", &greenlets->getcurrent) < 0 ||
        take(dict, "greenlet", &greenlets->type) < 0 ||
        take(dict, "strict", &greenlets->strict) < 0)
        return -1;
    greenlets->limit = limit ? (uint32_t)PyLong_AsUnsignedLong(limit) : 0;
    if (PyErr_Occurred())
        return -1;
    greenlets->hub_switch = PyObject_GetAttrString(greenlets->hub, "switch");
    greenlets->body = runner_body(greenlets->server);
    return greenlets->hub_switch && greenlets->body ? 0 : -1;
}

int greenlets_start(struct server *server, PyObject *dict) {
    struct greenlets *greenlets = calloc(1, sizeof *greenlets);

    if (greenlets == NULL)
        return PyErr_NoMemory(), -1;
    server->greenlets = greenlets;
    greenlets->server = server;
    line_start(&greenlets->ready);
    line_start(&greenlets->woken);
    greenlets->over = true;
    greenlets->cpu_start_ns = cpu_ns();
    server->driver = &GREENLET_DRIVER;
    arena_keep();
    return take_all(greenlets, dict);
}

void greenlets_stop(struct server *server) {
    struct greenlets *greenlets = server->greenlets;
    struct exchange *exchange;

    if (greenlets == NULL)
        return;
    while ((exchange = line_take(&greenlets->ready)) != NULL) {
        conn_close(exchange->conn);
        forget(exchange);
    }
    runners_free(greenlets);
    server->greenlets = NULL;
    Py_CLEAR(greenlets->hub);
    Py_CLEAR(greenlets->hub_switch);
    Py_CLEAR(greenlets->getcurrent);
    Py_CLEAR(greenlets->type);
    Py_CLEAR(greenlets->strict);
    Py_CLEAR(greenlets->body);
    free(greenlets);
}

PyObject *greenlets_list(struct server *server) {
    PyObject *list = PyList_New(0);

    for (uint32_t i = 0; list != NULL && i < server->slab_count; i++)
        for (int j = 0; j < SLAB; j++) {
            const struct exchange *exchange = server->slabs[i][j].exchange;
            if (exchange != NULL && exchange->call != NULL &&
                PyList_Append(list, exchange->call) < 0)
                Py_CLEAR(list);
            if (list == NULL)
                return NULL;
        }
    return list;
}
