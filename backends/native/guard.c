#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guard.h"

#define TICK_NS 1000000
#define LAZY_TICKS 4 /* without requests, before it sleeps */

enum guard_state { GUARD_AWAKE, GUARD_ASLEEP };

struct guard {
    struct server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t call;
    uint32_t called;       /* under lock: lanes that may go on */
    uint32_t waiting;      /* under lock */
    atomic_bool finished;
    atomic_bool idle;      /* the leader waits for events */
    _Atomic uint32_t state; /* enum guard_state; a futex */
    _Atomic uint64_t call_number; /* of the leading lane's call; odd: it is in the application */
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

    lane->in_app = true;
    if (guard != NULL && lane->server->leader == lane)
        atomic_store(&guard->call_number, lane->calls * 2 + 1);
}

void guard_leave(struct lane *lane) {
    struct guard *guard = lane->server->guard;

    lane->in_app = false;
    if (guard != NULL && lane->server->leader == lane)
        atomic_store(&guard->call_number, 0);
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

void guard_receive(struct server *server) { (void)server; }

/* ---- the guard's side -------------------------------------------------------------------- */

static void sleep_until_needed(struct guard *guard) {
    atomic_store(&guard->state, GUARD_ASLEEP);
    /* Whoever stops being idle after this line wakes it; who was before is seen here. */
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
        uint64_t number;
        clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL);
        number = atomic_load(&guard->call_number);
        if (number != 0 && number == seen)
            call_lanes(guard, 1);
        seen = number;
        lazy = atomic_load(&guard->idle) ? lazy + 1 : 0;
        if (lazy > LAZY_TICKS) {
            sleep_until_needed(guard);
            lazy = 0;
        }
    }
    return NULL;
}

int guard_start(struct server *server) {
    struct guard *guard;

    if (server->lane_count < 2)
        return 0;
    if ((guard = calloc(1, sizeof *guard)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    guard->server = server;
    pthread_mutex_init(&guard->lock, NULL);
    pthread_cond_init(&guard->call, NULL);
    server->guard = guard;
    if (pthread_create(&guard->thread, NULL, guard_main, guard) != 0) {
        PyErr_SetString(PyExc_RuntimeError, "the guard's thread could not be started");
        server->guard = NULL;
        free(guard);
        return -1;
    }
    return 0;
}

void guard_stop(struct server *server) {
    struct guard *guard = server->guard;

    if (guard == NULL)
        return;
    server->guard = NULL;
    atomic_store(&guard->finished, true);
    atomic_store(&guard->state, GUARD_AWAKE);
    futex_wake(&guard->state);
    pthread_join(guard->thread, NULL);
    pthread_cond_destroy(&guard->call);
    pthread_mutex_destroy(&guard->lock);
    free(guard);
}
