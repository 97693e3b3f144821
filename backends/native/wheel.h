/* Deadlines of connections: a coarse timer wheel.
 *
 * Pure C; no Python, no system call, no clock: `now` is a parameter, in milliseconds of any
 * monotonic clock. A deadline is never early, and at most WHEEL_SLOT_MS (plus the caller's own
 * delay) late. Nothing here allocates: the links live inside what owns the deadline.
 *
 * Setting is lazy. A connection moves its deadline several times per request and nearly always
 * further away; then only `due` is stored, and the slot the timer happens to sit in sends it on
 * when its time comes. A timer is relinked at once only when it would fire too late otherwise.
 */
#ifndef CHAUSSETTE_WHEEL_H
#define CHAUSSETTE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WHEEL_SLOTS = 128,   /* a power of two, a multiple of 64; the horizon is 32.8 s */
    WHEEL_SLOT_MS = 256,
};

/* Embed it; all zero is "not set". Its owner cancels it before the memory goes away. */
struct timer {
    struct timer *next, *prev; /* NULL: not set */
    uint64_t due;              /* ms */
    uint64_t tick;             /* of the slot it is linked in: at or before due's, or the next */
};

/* About 4 KiB. Must not move while a timer is set: the slots point at themselves. */
struct wheel {
    uint64_t tick;                     /* the last one that was expired */
    uint64_t occupied[WHEEL_SLOTS / 64]; /* a bit per slot that may hold timers */
    struct timer slots[WHEEL_SLOTS];   /* list heads; `due` and `tick` unused */
};

/* Called with a timer that is due and no longer set. It may set or cancel any timer, this one
 * included, and free what owns it. */
typedef void wheel_callback(struct timer *timer, void *context);

void wheel_start(struct wheel *wheel, uint64_t now);

/* Links a timer that is not set. Use wheel_set. */
void wheel_link(struct wheel *wheel, struct timer *timer);

/* Not set any more; harmless when it was not. */
void wheel_cancel(struct wheel *wheel, struct timer *timer);

/* Calls back for every timer with due <= now whose slot is over. A `now` before the last one
 * does nothing. */
void wheel_expire(struct wheel *wheel, uint64_t now, wheel_callback *callback, void *context);

/* Milliseconds until the next slot that holds a timer is over (0: it is), -1 when no timer is
 * set: what epoll_wait(2) takes. After a lazy move this may be earlier than any deadline. */
int wheel_next(const struct wheel *wheel, uint64_t now);

static inline bool wheel_is_set(const struct timer *timer) { return timer->next != NULL; }

/* The first tick that begins at or after `due`: waiting for it is never early. */
static inline uint64_t wheel_tick_of(uint64_t due) {
    return due / WHEEL_SLOT_MS + (due % WHEEL_SLOT_MS != 0);
}

/* Sets or moves the deadline. A `due` that is past fires at the end of the current slot. */
static inline void wheel_set(struct wheel *wheel, struct timer *timer, uint64_t due) {
    timer->due = due;
    if (timer->next != NULL) {
        if (wheel_tick_of(due) >= timer->tick)
            return;
        wheel_cancel(wheel, timer);
    }
    wheel_link(wheel, timer);
}

#endif
