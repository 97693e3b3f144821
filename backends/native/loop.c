/* The event loop: one epoll set per worker, led by one lane at a time. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core.h"
#include "guard.h"

#define BATCH_NS 1000000 /* a batch of slow requests is cut short after this */
#define DEFER_NS 100000 /* answers wait for the end of a batch, but not longer than this */
#define LOG_FLUSH_MS 1000

/* ---- the scoreboard ---------------------------------------------------------------- */

void slot_add(struct server *server, int word, int64_t amount) {
    server->slot[word] += (uint64_t)amount;
}

/* ---- around the application ---------------------------------------------------------- */

/* Whether the first answer of the batch has waited long enough: estimated, and then measured. */
static bool has_waited(const struct lane *lane) {
    uint64_t cost = lane->server->request_cost_ns;

    if (cost * (lane->calls - lane->first_answer_call) < DEFER_NS / 2)
        return false;
    return cost > DEFER_NS || clock_ns() - lane->first_answer_ns > DEFER_NS;
}

void loop_before_app(struct lane *lane) {
    struct server *server = lane->server;

    server->in_flight++;
    slot_add(server, SLOT_IN_FLIGHT, 1);
    /* With one thread an answer may wait for its batch, as long as applications are fast. */
    if (lane->answer_count > 0 && (server->lane_count > 1 || has_waited(lane)))
        out_flush(lane);
    lane->in_app = true;
}

void loop_after_app(struct lane *lane) {
    struct server *server = lane->server;

    lane->in_app = false;
    server->now_ms = clock_ms(); /* deadlines that begin now do not include its time */
    server->in_flight--;
    slot_add(server, SLOT_IN_FLIGHT, -1);
    lane->calls++;
}

/* ---- one batch -------------------------------------------------------------------------- */

static void woken(struct server *server) {
    uint64_t count;

    if (read(server->wake, &count, sizeof count) < 0)
        return; /* another lane was faster */
}

static void timer_ended(struct server *server) {
    uint64_t count;

    server->timer_ms = 0;
    if (read(server->timer, &count, sizeof count) < 0)
        return; /* it was set anew meanwhile */
}

/* Handles an event of anything but a connection; whether it was one. */
static bool dispatch_other(struct lane *lane, void *what) {
    struct server *server = lane->server;

    if (what == server)
        woken(server);
    else if (what == &server->timer)
        timer_ended(server);
    else if (what == server->guard)
        guard_receive(server);
    else if ((struct listener *)what >= server->listeners &&
             (struct listener *)what < server->listeners + server->listener_count)
        listener_accept(lane, what);
    else
        return false;
    return true;
}

/* Where to begin. The kernel lists what is ready in the same order each time, so that after a
 * batch that was cut short the first ones would have their next request served before the
 * last ones their first: the turn goes on behind the one that was served last. */
static int first_turn(const struct lane *lane, int count) {
    const struct server *server = lane->server;

    if (server->cut_short)
        for (int i = 0; i < count; i++)
            if (lane->events[i].data.ptr == server->served)
                return i + 1;
    return 0;
}

/* New connections come first, and where the application takes its time a batch is cut short:
 * otherwise those who are connected already would keep the others waiting at the door. What
 * is cut off is still ready, and comes with the next batch. */
static void dispatch(struct lane *lane, int count, uint64_t began) {
    struct server *server = lane->server;
    struct epoll_event *events = lane->events;
    int first = first_turn(lane, count);

    for (int i = 0; i < count && server->leader == lane; i++)
        if (dispatch_other(lane, events[i].data.ptr))
            events[i].data.ptr = NULL;
    server->cut_short = true; /* until it is not: another lane may take over in between */
    for (int i = first; i < first + count && server->leader == lane; i++) {
        struct epoll_event *event = &events[i < count ? i : i - count];
        if (event->data.ptr == NULL)
            continue;
        server->served = event->data.ptr;
        conn_event(lane, event->data.ptr, event->events);
        if (server->request_cost_ns * (uint64_t)count > BATCH_NS && clock_ns() - began > BATCH_NS)
            return;
    }
    if (server->leader == lane)
        server->cut_short = false;
}

/* Connections whose next request is in memory; one that was closed since has none. */
static void resume(struct lane *lane) {
    struct server *server = lane->server;
    uint32_t count = server->resumed_count;

    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct conn *conn = server->resumed[i];
        if (conn->state == CONN_HEAD && conn->in_len > 0)
            conn_resume(lane, conn);
        else if (conn->state == CONN_RAW && conn->in_len > 0)
            conn_take(lane, conn);
    }
    memmove(server->resumed, server->resumed + count,
            (server->resumed_count - count) * sizeof *server->resumed);
    server->resumed_count -= count;
}

static void expired(struct timer *timer, void *context) {
    conn_expired(context, (struct conn *)timer);
}

static void measure(struct lane *lane, uint64_t began, uint64_t calls) {
    struct server *server = lane->server;
    uint64_t now = clock_ns(), count = lane->calls - calls;

    if (count > 0) {
        if (server->driver->batch == NULL) /* else not all of it happens here */
            slot_add(server, SLOT_BUSY, (int64_t)(now - began));
        server->request_cost_ns = (now - began) / count;
    }
    server->slot[SLOT_BEAT] = now;
}

static void settle(struct lane *lane) {
    struct server *server = lane->server;

    out_flush(lane);
    if (server->leader != lane) /* another lane took over while this one was in the application */
        return;
    wheel_expire(&server->wheel, server->now_ms, expired, lane);
    out_flush(lane);
    if (server->drain_asked && !server->draining)
        server_drain(server);
    listeners_arm(server);
    conns_bury(server);
}

/* ---- waiting ------------------------------------------------------------------------------ */

static int sooner(int timeout, int64_t other) {
    if (other < 0)
        other = 0;
    return timeout < 0 || other < timeout ? (int)other : timeout;
}

static int wait_time(const struct server *server, int timeout) {
    int next = wheel_next(&server->wheel, server->now_ms);

    timeout = sooner(timeout, server->options.beat_ms);
    if (next >= 0)
        timeout = sooner(timeout, next);
    if (server->draining)
        timeout = sooner(timeout, (int64_t)(server->drain_end_ms - server->now_ms));
    if (server->next_accept_ms > server->now_ms)
        timeout = sooner(timeout, (int64_t)(server->next_accept_ms - server->now_ms));
    return timeout;
}

/* Waits without the GIL; what was logged is written first, as nothing else is to be done. */
static int wait_for_events(struct lane *lane, int timeout) {
    struct server *server = lane->server;
    int count;

    if (server->log != NULL && logbuf_flush(server->log) != 0)
        timeout = sooner(timeout, LOG_FLUSH_MS);
    timeout = wait_time(server, timeout);
    Py_BEGIN_ALLOW_THREADS
    guard_idle(server, true);
    count = epoll_wait(server->epoll, lane->events, BATCH, timeout);
    guard_idle(server, false);
    Py_END_ALLOW_THREADS
    return count;
}

int loop_step(struct lane *lane, int timeout_ms) { /* <- the backend's main loop runs this */
    struct server *server = lane->server;
    int count = epoll_wait(server->epoll, lane->events, BATCH, 0);
    uint64_t began, calls = lane->calls;

    if (count == 0 && timeout_ms != 0) /* only then is there time to let other threads in */
        count = wait_for_events(lane, timeout_ms);
    if (count < 0 && errno != EINTR) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    began = clock_ns();
    server->now_ms = clock_ms();
    date_refresh(server);
    guard_batch(server);
    server->in_step = true;
    resume(lane);
    dispatch(lane, count, began);
    if (server->driver->batch != NULL)
        server->driver->batch(lane);
    settle(lane);
    server->in_step = false;
    measure(lane, began, calls);
    return PyErr_CheckSignals();
}

/* ---- where the loop is another's ----------------------------------------------------------- */

#define VISIT_NS 200000 /* how long one visit may look again for what has become ready */
#define VISIT_STEPS 4

void loop_refresh(struct server *server) {
    if (server->in_step)
        return;
    server->now_ms = clock_ms();
    date_refresh(server);
}

/* Makes the descriptor readable when the next deadline has passed. */
static void set_timer(struct server *server) {
    int next = wheel_next(&server->wheel, server->now_ms);
    struct itimerspec when = {0};
    uint64_t due;

    if (server->draining)
        next = sooner(next, (int64_t)(server->drain_end_ms - server->now_ms));
    if (server->next_accept_ms > server->now_ms)
        next = sooner(next, (int64_t)(server->next_accept_ms - server->now_ms));
    due = server->now_ms + (uint64_t)(next < 0 ? 0 : next);
    if (next < 0 || (server->timer_ms != 0 && server->timer_ms <= due))
        return;
    next = next < 1 ? 1 : next;
    when.it_value.tv_sec = next / 1000;
    when.it_value.tv_nsec = next % 1000 * 1000000L;
    timerfd_settime(server->timer, 0, &when, NULL);
    server->timer_ms = due;
}

static int tell_finished(struct server *server) {
    PyObject *on_finished = server->on_finished, *done;

    if (on_finished == NULL || !server_finished(server))
        return 0;
    server->on_finished = NULL;
    done = PyObject_CallNoArgs(on_finished);
    Py_DECREF(on_finished);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

int loop_visit(struct server *server) {
    struct lane *lane = server->lanes[0];
    uint64_t began = clock_ns(), calls;

    for (int i = 0; i < VISIT_STEPS; i++) {
        calls = lane->calls;
        if (loop_step(lane, 0) < 0)
            return -1;
        if (lane->calls == calls || clock_ns() - began > VISIT_NS)
            break;
    }
    if (server->log != NULL)
        logbuf_flush(server->log);
    set_timer(server);
    return tell_finished(server);
}

void loop_poke(struct server *server) {
    const uint64_t one = 1;

    if (write(server->wake, &one, sizeof one) < 0)
        return; /* it is awake already */
}

void loop_resume(struct conn *conn) {
    struct server *server = conn->server;

    if (server->resumed_count == server->resumed_room) {
        uint32_t room = server->resumed_room ? server->resumed_room * 2 : 16;
        struct conn **grown = realloc(server->resumed, room * sizeof *grown);
        if (grown == NULL) {
            conn_close(conn);
            return;
        }
        server->resumed = grown;
        server->resumed_room = room;
    }
    server->resumed[server->resumed_count++] = conn;
    loop_poke(server);
}

/* ---- who leads ------------------------------------------------------------------------------ */

/* Waits until this lane leads, or the server is finished. */
static void take_the_lead(struct lane *lane) {
    struct server *server = lane->server;

    while (!server_finished(server) && server->leader != lane) {
        if (server->leader == NULL || server->leader->in_app) {
            server->leader = lane;
            return;
        }
        Py_BEGIN_ALLOW_THREADS
        guard_wait_for_call(server);
        Py_END_ALLOW_THREADS
    }
}

int loop_run(struct lane *lane) {
    struct server *server = lane->server;
    int result = 0;

    while (result == 0 && !server_finished(server)) {
        if (server->leader == lane)
            result = loop_step(lane, -1);
        else
            take_the_lead(lane);
    }
    server->stopped = true;
    if (server->leader == lane)
        server->leader = NULL;
    guard_call_all(server);
    return result;
}

/* ---- the end ---------------------------------------------------------------------------------- */

void server_drain(struct server *server) {
    server->draining = true;
    server->drain_end_ms = server->now_ms + server->options.drain_ms;
    /* An idle connection may have its next request under way: it is answered, with
     * `Connection: close`, and no connection is cut before a client could notice. */
    conns_shorten(server, server->now_ms + server->options.grace_ms);
}

bool server_finished(struct server *server) {
    if (server->stopped || !server->draining)
        return server->stopped;
    /* What siblings have put into their queue may have nobody else left to take it. */
    if (server->conns == 0 && server->in_flight == 0 && !guard_receive(server))
        return true;
    return clock_ms() >= server->drain_end_ms;
}
