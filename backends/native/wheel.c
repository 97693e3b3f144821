#include "wheel.h"

enum { MASK = WHEEL_SLOTS - 1 };

_Static_assert(WHEEL_SLOTS % 64 == 0 && (WHEEL_SLOTS & MASK) == 0, "slots fill whole words");

static void list_start(struct timer *head) { head->next = head->prev = head; }

static void list_append(struct timer *head, struct timer *timer) {
    timer->next = head;
    timer->prev = head->prev;
    head->prev->next = timer;
    head->prev = timer;
}

static void list_remove(struct timer *timer) {
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->next = timer->prev = NULL;
}

/* Moves all of `from` to the end of `to`. */
static void list_splice(struct timer *to, struct timer *from) {
    if (from->next == from)
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_start(from);
}

static void mark(struct wheel *wheel, unsigned slot, bool occupied) {
    uint64_t bit = (uint64_t)1 << (slot % 64);
    if (occupied)
        wheel->occupied[slot / 64] |= bit;
    else
        wheel->occupied[slot / 64] &= ~bit;
}

void wheel_start(struct wheel *wheel, uint64_t now) {
    *wheel = (struct wheel){.tick = now / WHEEL_SLOT_MS};
    for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
        list_start(&wheel->slots[slot]);
}

void wheel_link(struct wheel *wheel, struct timer *timer) {
    uint64_t tick = wheel_tick_of(timer->due);
    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    /* Beyond the horizon: the last slot, which sends it on. */
    if (tick - wheel->tick > WHEEL_SLOTS)
        tick = wheel->tick + WHEEL_SLOTS;
    timer->tick = tick;
    list_append(&wheel->slots[tick & MASK], timer);
    mark(wheel, (unsigned)(tick & MASK), true);
}

void wheel_cancel(struct wheel *wheel, struct timer *timer) {
    if (timer->next == NULL)
        return;
    list_remove(timer);
    /* Its slot is another one's by now if wheel_expire holds the timer in its own list;
     * then the question below is still answered rightly for that slot. */
    unsigned slot = (unsigned)(timer->tick & MASK);
    if (wheel->slots[slot].next == &wheel->slots[slot])
        mark(wheel, slot, false);
}

/* Takes every timer out of the slots that are over, in the order of their ticks. */
static void take_over(struct wheel *wheel, uint64_t tick, struct timer *over) {
    uint64_t steps = tick - wheel->tick;
    if (steps > WHEEL_SLOTS)
        steps = WHEEL_SLOTS;
    for (uint64_t step = 1; step <= steps; step++) {
        unsigned slot = (unsigned)((wheel->tick + step) & MASK);
        list_splice(over, &wheel->slots[slot]);
        mark(wheel, slot, false);
    }
    wheel->tick = tick;
}

void wheel_expire(struct wheel *wheel, uint64_t now, wheel_callback *callback, void *context) {
    uint64_t tick = now / WHEEL_SLOT_MS;
    if (tick <= wheel->tick)
        return;
    struct timer over;
    list_start(&over);
    take_over(wheel, tick, &over);
    /* The list is looked at anew each time: a callback may cancel its neighbours. */
    while (over.next != &over) {
        struct timer *timer = over.next;
        list_remove(timer);
        if (timer->due <= now)
            callback(timer, context);
        else
            wheel_link(wheel, timer);
    }
}

/* How many slots after the one at `from` (0..WHEEL_SLOTS - 1) the first occupied one is. */
static int distance(const struct wheel *wheel, unsigned from) {
    for (unsigned step = 0; step < WHEEL_SLOTS;) {
        unsigned slot = (from + step) & MASK;
        uint64_t word = wheel->occupied[slot / 64] >> (slot % 64);
        if (word != 0)
            return (int)(step + (unsigned)__builtin_ctzll(word));
        step += 64 - slot % 64; /* to the next word; the first one's lower bits come last */
    }
    return -1;
}

int wheel_next(const struct wheel *wheel, uint64_t now) {
    int steps = distance(wheel, (unsigned)((wheel->tick + 1) & MASK));
    if (steps < 0)
        return -1;
    uint64_t end = (wheel->tick + 1 + (uint64_t)steps) * WHEEL_SLOT_MS;
    return end > now ? (int)(end - now) : 0;
}
