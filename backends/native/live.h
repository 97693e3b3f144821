/* What is alive, counted in debug builds only: at a server's end nothing may be left.
 *
 * A leak of a connection or an exchange hides in a worker's free lists and slabs from tools
 * that look at allocations; here it ends the process. Build with -DCHAUSSETTE_DEBUG.
 */
#ifndef CHAUSSETTE_LIVE_H
#define CHAUSSETTE_LIVE_H

enum live { LIVE_CONNS, LIVE_EXCHANGES, LIVE_BLOCKS, LIVE_STARTS, LIVE_COUNT };

#ifdef CHAUSSETTE_DEBUG
/* One more, or less; with the GIL, or while the guard has the server. */
void live_add(enum live what, int change);
/* Aborts, and says what is left, if anything is. */
void live_check(void);
#else
static inline void live_add(enum live what, int change) {
    (void)what;
    (void)change;
}
static inline void live_check(void) {}
#endif

#endif
