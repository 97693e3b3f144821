/* Bytes on their way to the peer.
 *
 * Answers collect in the lane's buffer and go out at the end of the batch, with one send
 * per connection however many requests were pipelined on it. What a peer does not take is
 * queued on its connection, in memory and past a limit in a temporary file, and goes on
 * when the peer reads: neither the application nor another connection waits for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core.h"

#define FLAGS (MSG_NOSIGNAL | MSG_DONTWAIT)
#define TURN (8u << 20)  /* bytes of one connection's queue, before others have a turn */
#define TRIM (16u << 20) /* bytes of a file that are given back at a time */

static bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

/* ---- the queue ------------------------------------------------------------ */

static void item_free(struct out_item *item) {
    live_add(LIVE_BLOCKS, -1);
    Py_XDECREF(item->bytes);
    free(item->memory);
    if (item->file >= 0)
        close(item->file);
    free(item);
}

static void queue_pop(struct conn *conn) {
    struct out_item *item = conn->out;

    conn->out = item->next;
    if (conn->out == NULL)
        conn->out_end = &conn->out;
    if (item->file < 0)
        conn->out_memory -= item->end;
    if (conn->spool == item)
        conn->spool = NULL;
    item_free(item);
}

void out_clear(struct conn *conn) {
    while (conn->out != NULL)
        queue_pop(conn);
}

static struct out_item *queue_push(struct conn *conn) {
    struct out_item *item = calloc(1, sizeof *item);

    if (item == NULL)
        return NULL;
    live_add(LIVE_BLOCKS, 1);
    item->file = -1;
    *conn->out_end = item;
    conn->out_end = &item->next;
    return item;
}

static int queue_memory(struct conn *conn, const char *data, size_t len) {
    struct out_item *item;
    char *copy = malloc(len);

    if (copy == NULL || (item = queue_push(conn)) == NULL) {
        free(copy);
        return -1;
    }
    memcpy(copy, data, len);
    item->memory = copy;
    item->end = len;
    conn->out_memory += len;
    return 0;
}

static int queue_bytes(struct conn *conn, PyObject *bytes, size_t at, size_t len) {
    struct out_item *item = queue_push(conn);

    if (item == NULL)
        return -1;
    item->bytes = Py_NewRef(bytes);
    item->at = at;
    item->end = at + len; /* not always all of it: Content-Length may cut it off */
    conn->out_memory += item->end;
    return 0;
}

/* All of it behind what the file has, or nothing: -1. */
static int spool_write(struct out_item *item, const char *data, size_t len) {
    uint64_t end = item->end;

    while (len > 0) {
        ssize_t wrote = pwrite(item->file, data, len, (off_t)end);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return -1;
        end += (uint64_t)wrote;
        data += wrote;
        len -= (size_t)wrote;
    }
    item->end = end;
    return 0;
}

static int queue_spool(struct conn *conn, const char *data, size_t len) {
    struct out_item *item = conn->spool;
    int fd;

    if (item == NULL) {
        fd = open(conn->server->options.directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0 || (item = queue_push(conn)) == NULL) {
            if (fd >= 0)
                close(fd);
            return -1;
        }
        item->file = fd;
        conn->spool = item;
    }
    if (spool_write(item, data, len) == 0)
        return 0;
    conn->spool = NULL; /* what comes next goes behind what memory takes now */
    return -1;
}

/* Gives back what the peer has of a file that still grows; not every file system can. */
static void spool_trim(struct conn *conn, struct out_item *item) {
    if (item != conn->spool || item->at - item->trimmed < TRIM)
        return;
    (void)fallocate(item->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)item->trimmed,
                    (off_t)(item->at - item->trimmed));
    item->trimmed = item->at;
}

/* Queues a block, or what is left of it; `bytes` may be NULL. 0, or -1. */
static int queue_block(struct conn *conn, PyObject *bytes, const char *data, size_t len) {
    if (len == 0)
        return 0;
    if (conn->server->driver->hold == NULL &&
        (conn->spool != NULL || conn->out_memory + len > conn->server->options.out_memory))
        /* Without a temporary file memory has to do. */
        if (queue_spool(conn, data, len) == 0)
            return 0;
    if (bytes != NULL)
        return queue_bytes(conn, bytes, (size_t)(data - PyBytes_AS_STRING(bytes)), len);
    return queue_memory(conn, data, len);
}

/* ---- sending --------------------------------------------------------------- */

static ssize_t send_item(struct conn *conn, struct out_item *item) {
    uint64_t left = item->end - item->at;

    if (item->file >= 0) {
        off_t at = (off_t)item->at;
        ssize_t sent = sendfile(conn->fd, item->file, &at, left < 1u << 30 ? left : 1u << 30);
        if (sent == 0) { /* the file became shorter than what was promised */
            errno = EIO;
            return -1;
        }
        return sent;
    }
    return send(conn->fd, (item->bytes ? PyBytes_AS_STRING(item->bytes) : item->memory) + item->at,
                left, FLAGS);
}

/* Sends from the queue until it is empty (1), the peer takes no more for now, or has had its
 * turn (0), or fails (-1). */
static int queue_send(struct conn *conn) {
    uint64_t turn = 0;

    while (conn->out != NULL && turn <= TURN) {
        struct out_item *item = conn->out;
        ssize_t sent = send_item(conn, item);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return would_block(errno) ? 0 : -1;
        item->at += (uint64_t)sent;
        if (turn == 0) /* it reads: its time begins anew */
            wheel_set(&conn->server->wheel, &conn->timer,
                      conn->server->now_ms + conn->server->options.write_ms);
        turn += (uint64_t)sent;
        if (item->at == item->end)
            queue_pop(conn);
        else if (item->file < 0)
            return 0; /* a short send: the socket is full */
        else
            spool_trim(conn, item);
    }
    return conn->out == NULL;
}

static void wait_for_peer(struct conn *conn) {
    wheel_set(&conn->server->wheel, &conn->timer,
              conn->server->now_ms + conn->server->options.write_ms);
    conn_want(conn, WANT_OUT);
}

void out_continue(struct lane *lane, struct conn *conn) {
    switch (queue_send(conn)) {
    case 1:
        if (conn->state == CONN_SEND)
            conn_resume(lane, conn);
        else
            conn_taken(lane, conn);
        break;
    case 0:
        conn_want(conn, WANT_OUT);
        break;
    default:
        conn_close(conn);
        break;
    }
}

/* Whether more waits for this peer than may; memory takes what a file could not. */
static bool is_too_far_behind(const struct conn *conn) {
    const struct options *options = &conn->server->options;

    if (conn->spool != NULL && conn->spool->end - conn->spool->at > options->out_file)
        return true;
    return conn->out_memory > options->out_memory;
}

int out_throttle(struct conn *conn) {
    struct pollfd entry = {.fd = conn->fd, .events = POLLOUT};
    const struct options *options = &conn->server->options;
    int ready;

    if (conn->server->driver->hold != NULL)
        return is_too_far_behind(conn) ? conn->server->driver->hold(conn) : 0;
    if (conn->out == NULL)
        return 0;
    conn->server->now_ms = clock_ms(); /* a long response keeps the loop from doing so */
    if (conn->server->now_ms > conn->timer.due) {
        conn_reset(conn);
        return -1;
    }
    while (is_too_far_behind(conn)) {
        Py_BEGIN_ALLOW_THREADS
        ready = poll(&entry, 1, (int)options->write_ms);
        Py_END_ALLOW_THREADS
        if (ready < 0 && errno == EINTR && PyErr_CheckSignals() == 0)
            continue;
        if (conn->state == CONN_CLOSED)
            return -1;
        if (ready <= 0 || queue_send(conn) < 0) {
            conn_close(conn);
            return -1;
        }
    }
    return 0;
}

/* ---- the lane's buffer -------------------------------------------------------- */

char *out_room(struct lane *lane, struct conn *conn, size_t len) {
    bool fits = lane->out_len + len <= OUT_SIZE;
    bool is_last = lane->answer_count > 0 && lane->answers[lane->answer_count - 1].conn == conn;

    if (!fits || (!is_last && (lane->answer_count == BATCH || conn->pending)))
        out_flush(lane);
    return len <= OUT_SIZE ? lane->out + lane->out_len : NULL;
}

void out_wrote(struct lane *lane, struct conn *conn, size_t len) {
    struct answer *last = lane->answers + lane->answer_count - 1;

    if (!conn->pending) {
        if (lane->answer_count == 0) {
            lane->first_answer_ns = clock_ns();
            lane->first_answer_call = lane->calls;
        }
        *++last = (struct answer){.conn = conn, .at = lane->out_len};
        lane->answer_count++;
        conn->pending = true;
    }
    last->len += (uint32_t)len;
    lane->out_len += (uint32_t)len;
}

/* Sends data, and queues what is not taken. 0, or -1: the connection is closed. */
static int send_or_queue(struct conn *conn, struct iovec *parts, size_t count, PyObject *bytes) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = 0;

    if (conn->state == CONN_CLOSED)
        return -1;
    if (conn->out != NULL && queue_send(conn) < 0) {
        conn_close(conn);
        return -1;
    }
    if (conn->out == NULL) {
        do
            sent = count == 1 ? send(conn->fd, parts->iov_base, parts->iov_len, FLAGS)
                              : sendmsg(conn->fd, &message, FLAGS);
        while (sent < 0 && errno == EINTR);
        if (sent < 0 && !would_block(errno)) {
            conn_close(conn);
            return -1;
        }
        if (sent < 0)
            sent = 0;
    }
    for (size_t i = 0; i < count; i++) {
        size_t taken = (size_t)sent < parts[i].iov_len ? (size_t)sent : parts[i].iov_len;
        sent -= (ssize_t)taken;
        if (queue_block(conn, i == 1 ? bytes : NULL, (char *)parts[i].iov_base + taken,
                        parts[i].iov_len - taken) < 0) {
            conn_close(conn);
            return -1;
        }
    }
    if (conn->out != NULL && conn->want != WANT_OUT) /* else its time is running already */
        wait_for_peer(conn);
    return 0;
}

static void answer_send(struct lane *lane, const struct answer *answer) {
    struct conn *conn = answer->conn;
    struct iovec part = {.iov_base = lane->out + answer->at, .iov_len = answer->len};

    conn->pending = false;
    if (send_or_queue(conn, &part, 1, NULL) == 0)
        conn_sent(conn);
}

void out_flush(struct lane *lane) {
    uint32_t count = lane->answer_count;

    lane->answer_count = 0;
    lane->out_len = 0;
    for (uint32_t i = 0; i < count; i++)
        answer_send(lane, &lane->answers[i]);
}

void out_settle(struct server *server) {
    if (!server->in_step)
        out_flush(server->lanes[0]);
}

int out_send(struct lane *lane, struct conn *conn, PyObject *bytes, const char *block, size_t len,
             const char *tail, size_t tail_len) {
    struct iovec parts[3] = {{.iov_base = lane->out, .iov_len = 0},
                             {.iov_base = (char *)block, .iov_len = len},
                             {.iov_base = (char *)tail, .iov_len = tail_len}};
    struct answer *last = lane->answers + lane->answer_count - 1;

    if (conn->pending && last->conn != conn)
        out_flush(lane);
    if (conn->pending) { /* what waits for this connection goes before the block, in one call */
        parts[0].iov_base = lane->out + last->at;
        parts[0].iov_len = last->len;
        lane->out_len -= last->len;
        lane->answer_count--;
        conn->pending = false;
    }
    if (send_or_queue(conn, parts, 3, bytes) < 0)
        return -1;
    if (conn->server->driver->hold != NULL) /* between two blocks, and not behind the last one */
        return 0;
    return out_throttle(conn);
}

int out_send_file(struct lane *lane, struct conn *conn, int fd, uint64_t at, uint64_t end) {
    struct out_item *item;

    if (conn->pending) {
        out_flush(lane);
    }
    if (conn->state == CONN_CLOSED || (item = queue_push(conn)) == NULL) {
        close(fd);
        return -1;
    }
    item->file = fd;
    item->at = at;
    item->end = end;
    switch (queue_send(conn)) {
    case 1:
        return 0;
    case 0:
        wait_for_peer(conn);
        return 0;
    default:
        conn_close(conn);
        return -1;
    }
}
