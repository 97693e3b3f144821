#include "guard.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 1000000
#define LAZY_TICKS 4 /* without requests, before it sleeps */
#define HANDFUL 64   /* connections that are looked at in one tick */

enum guard_state { GUARD_AWAKE, GUARD_ASLEEP };
enum window { WINDOW_CLOSED, WINDOW_OPEN, WINDOW_TAKEN }; /* who may touch connections */

struct guard {
    struct server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t call;
    uint32_t called;        /* under lock: lanes that may go on */
    uint32_t waiting;       /* under lock: lanes that wait */
    int queue_read, queue_write;
    atomic_bool finished;
    atomic_bool idle;       /* the leader waits for events */
    _Atomic uint32_t state; /* enum guard_state; a futex */
    _Atomic uint32_t window; /* enum window: open while the only lane is in the application */
    _Atomic uint64_t batch; /* number of the batch under way */
};

/* What travels beside a descriptor: what its new owner cannot find out. */
struct letter {
    struct peer peer;
    uint8_t listener;
    bool seen;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- the lanes' side ------------------------------------------------------------------ */

void guard_enter(struct lane *lane) {
    struct guard *guard = lane->server->guard;

    if (guard != NULL && guard->queue_write >= 0)
        atomic_store_explicit(&guard->window, WINDOW_OPEN, memory_order_release);
}

void guard_leave(struct lane *lane) {
    struct guard *guard = lane->server->guard;
    uint32_t open = WINDOW_OPEN;

    if (guard == NULL || guard->queue_write < 0)
        return;
    while (!atomic_compare_exchange_weak(&guard->window, &open, WINDOW_CLOSED)) {
        if (open == WINDOW_CLOSED)
            return;
        open = WINDOW_OPEN;
        sched_yield(); /* the guard works for some microseconds */
    }
}

void guard_batch(struct server *server) {
    if (server->guard != NULL)
        atomic_fetch_add_explicit(&server->guard->batch, 1, memory_order_relaxed);
}

void guard_idle(struct server *server, bool idle) {
    struct guard *guard = server->guard;
    uint32_t asleep = GUARD_ASLEEP;

    if (guard == NULL)
        return;
    atomic_store(&guard->idle, idle);
    if (!idle && atomic_compare_exchange_strong(&guard->state, &asleep, GUARD_AWAKE))
        futex_wake(&guard->state);
}

void guard_wait_for_call(struct server *server) {
    struct guard *guard = server->guard;

    pthread_mutex_lock(&guard->lock);
    guard->waiting++;
    while (guard->called == 0)
        pthread_cond_wait(&guard->call, &guard->lock);
    guard->called--;
    guard->waiting--;
    pthread_mutex_unlock(&guard->lock);
}

static void call_lanes(struct guard *guard, uint32_t count) {
    pthread_mutex_lock(&guard->lock);
    if (guard->called < guard->waiting) {
        guard->called = count < guard->waiting ? count : guard->waiting;
        pthread_cond_broadcast(&guard->call);
    }
    pthread_mutex_unlock(&guard->lock);
}

void guard_call_all(struct server *server) {
    if (server->guard != NULL)
        call_lanes(server->guard, UINT32_MAX);
}

/* ---- the siblings' queue ---------------------------------------------------------------- */

static bool send_letter(const struct guard *guard, const struct conn *conn) {
    struct letter letter = {.peer = conn->peer, .listener = conn->listener, .seen = conn->seen};
    struct iovec part = {.iov_base = &letter, .iov_len = sizeof letter};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &conn->fd, sizeof(int));
    return sendmsg(guard->queue_write, &message, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
}

static int read_letter(const struct guard *guard, struct letter *letter) {
    struct iovec part = {.iov_base = letter, .iov_len = sizeof *letter};
    char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *rights;
    int fd = -1;
    ssize_t got = recvmsg(guard->queue_read, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (got < 0)
        return -1;
    rights = CMSG_FIRSTHDR(&message);
    if (rights != NULL && rights->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(rights), sizeof fd);
    if (got != (ssize_t)sizeof *letter && fd >= 0) { /* a sibling of another version */
        close(fd);
        return -1;
    }
    return fd;
}

bool guard_receive(struct server *server) {
    struct guard *guard = server->guard;
    struct letter letter;
    struct conn *conn;
    int fd;

    if (guard == NULL || guard->queue_read < 0 || (fd = read_letter(guard, &letter)) < 0)
        return false;
    if (letter.listener >= server->listener_count) /* a sibling of another configuration */
        letter.listener = 0;
    if ((conn = conn_open(server, fd, letter.listener)) == NULL)
        return true;
    conn->state = CONN_HEAD;
    conn->peer = letter.peer;
    conn->seen = letter.seen;
    conn->handed = true;
    conn_want(conn, WANT_IN);
    return true;
}

/* Whether nothing of the connection is in this process but its descriptor. */
static bool can_leave(const struct conn *conn) {
    return conn->state == CONN_HEAD && conn->in_len == 0 && conn->out == NULL &&
           conn->exchange == NULL && !conn->pending && !conn->closing && !conn->handed &&
           !conn->ended;
}

static void hand_over(struct guard *guard, struct conn *conn) {
    if (!can_leave(conn) || !send_letter(guard, conn))
        return;
    epoll_ctl(guard->server->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    conn_left(conn);
}

static bool is_conn(const struct server *server, const void *what) {
    return what != (const void *)server && what != (const void *)server->guard &&
           !(what >= (const void *)server->listeners &&
             what < (const void *)(server->listeners + server->listener_count));
}

/* The lane is in the application, and stays there: what waits behind it goes elsewhere. */
static void relieve(struct guard *guard) {
    struct server *server = guard->server;
    struct epoll_event events[HANDFUL];
    uint32_t open = WINDOW_OPEN;
    int count;

    if (!atomic_compare_exchange_strong(&guard->window, &open, WINDOW_TAKEN))
        return;
    count = epoll_wait(server->epoll, events, HANDFUL, 0);
    for (int i = 0; i < count; i++)
        if (is_conn(server, events[i].data.ptr))
            hand_over(guard, events[i].data.ptr);
    atomic_store(&guard->window, WINDOW_OPEN);
}

/* ---- the guard's side -------------------------------------------------------------------- */

static void sleep_until_needed(struct guard *guard) {
    atomic_store(&guard->state, GUARD_ASLEEP);
    /* Whoever stops being idle after this line wakes it; who did before is seen here. */
    while (atomic_load(&guard->state) == GUARD_ASLEEP && atomic_load(&guard->idle) &&
           !atomic_load(&guard->finished))
        futex_wait(&guard->state, GUARD_ASLEEP);
    atomic_store(&guard->state, GUARD_AWAKE);
}

static void *guard_main(void *context) {
    struct guard *guard = context;
    const struct timespec tick = {.tv_nsec = TICK_NS};
    uint64_t seen = 0;
    int lazy = 0;

    while (!atomic_load(&guard->finished)) { /* <- the guard's main loop */
        uint64_t batch;
        bool idle;
        clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL);
        batch = atomic_load(&guard->batch);
        idle = atomic_load(&guard->idle);
        if (!idle && batch == seen) {
            if (guard->queue_write >= 0)
                relieve(guard);
            else
                call_lanes(guard, 1);
        }
        seen = batch;
        lazy = idle ? lazy + 1 : 0;
        if (lazy > LAZY_TICKS) {
            sleep_until_needed(guard);
            lazy = 0;
        }
    }
    return NULL;
}

static int start_thread(struct guard *guard) {
    int error;

    pthread_mutex_init(&guard->lock, NULL);
    pthread_cond_init(&guard->call, NULL);
    if ((error = pthread_create(&guard->thread, NULL, guard_main, guard)) == 0)
        return 0;
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

int guard_start(struct server *server, int queue_read, int queue_write) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
    struct guard *guard;

    if (server->lane_count > 1)
        queue_read = queue_write = -1; /* a busy lane has another one to relieve it */
    else if (queue_read < 0)
        return 0;
    if ((guard = calloc(1, sizeof *guard)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    guard->server = server;
    guard->queue_read = queue_read;
    guard->queue_write = queue_write;
    server->guard = guard;
    event.data.ptr = guard;
    if (queue_read >= 0)
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, queue_read, &event);
    if (start_thread(guard) == 0)
        return 0;
    server->guard = NULL;
    free(guard);
    return -1;
}

void guard_stop(struct server *server) {
    struct guard *guard = server->guard;

    if (guard == NULL)
        return;
    atomic_store(&guard->finished, true);
    atomic_store(&guard->state, GUARD_AWAKE);
    futex_wake(&guard->state);
    pthread_join(guard->thread, NULL);
    server->guard = NULL;
    pthread_cond_destroy(&guard->call);
    pthread_mutex_destroy(&guard->lock);
    free(guard);
}
