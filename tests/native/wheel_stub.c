/* A wheel with numbered timers and scripted callbacks, for the tests. */
#include "wheel.h"

#include <stdlib.h>

enum { TIMERS = 16 };
enum act { NOTHING, SET, CANCEL };

struct script {
    int act;
    int target;
    uint64_t due;
};

struct stub {
    struct wheel wheel;
    struct timer timers[TIMERS];
    struct script scripts[TIMERS];
    int fired[4 * TIMERS];
    int count;
};

struct stub *stub_new(uint64_t now);
void stub_free(struct stub *stub);
void stub_set(struct stub *stub, int index, uint64_t due);
void stub_cancel(struct stub *stub, int index);
void stub_script(struct stub *stub, int index, int act, int target, uint64_t due);
int stub_expire(struct stub *stub, uint64_t now, int *fired);
int stub_next(const struct stub *stub, uint64_t now);
int stub_is_set(const struct stub *stub, int index);
uint64_t stub_tick(const struct stub *stub, int index);

struct stub *stub_new(uint64_t now) {
    struct stub *stub = calloc(1, sizeof *stub);
    wheel_start(&stub->wheel, now);
    return stub;
}

void stub_free(struct stub *stub) { free(stub); }

void stub_set(struct stub *stub, int index, uint64_t due) {
    wheel_set(&stub->wheel, &stub->timers[index], due);
}

void stub_cancel(struct stub *stub, int index) {
    wheel_cancel(&stub->wheel, &stub->timers[index]);
}

/* What timer `index` does, once, when it fires. */
void stub_script(struct stub *stub, int index, int act, int target, uint64_t due) {
    stub->scripts[index] = (struct script){act, target, due};
}

static void fire(struct timer *timer, void *context) {
    struct stub *stub = context;
    int index = (int)(timer - stub->timers);
    stub->fired[stub->count++] = index;
    struct script script = stub->scripts[index];
    stub->scripts[index] = (struct script){.act = NOTHING};
    if (script.act == SET)
        stub_set(stub, script.target, script.due);
    else if (script.act == CANCEL)
        stub_cancel(stub, script.target);
}

int stub_expire(struct stub *stub, uint64_t now, int *fired) {
    stub->count = 0;
    wheel_expire(&stub->wheel, now, fire, stub);
    for (int i = 0; i < stub->count; i++)
        fired[i] = stub->fired[i];
    return stub->count;
}

int stub_next(const struct stub *stub, uint64_t now) { return wheel_next(&stub->wheel, now); }

int stub_is_set(const struct stub *stub, int index) { return wheel_is_set(&stub->timers[index]); }

uint64_t stub_tick(const struct stub *stub, int index) { return stub->timers[index].tick; }
