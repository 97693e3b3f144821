#include "live.h"

#ifdef CHAUSSETTE_DEBUG
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const NAMES[LIVE_COUNT] = {"connections", "exchanges", "queued blocks",
                                              "start_response callables under way"};
static atomic_int counts[LIVE_COUNT];

void live_add(enum live what, int change) { atomic_fetch_add(&counts[what], change); }

void live_check(void) {
    int left = 0;

    for (int i = 0; i < LIVE_COUNT; i++) {
        int count = atomic_load(&counts[i]);
        if (count != 0)
            fprintf(stderr, "chaussette: left at the end: %d %s\n", count, NAMES[i]);
        left |= count;
    }
    if (left != 0)
        abort();
}
#else
typedef int live_is_off; /* ISO C has no empty file */
#endif
