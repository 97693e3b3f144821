/* The guard: a thread without the GIL that looks after a lane which stays in the application.
 *
 * It ticks only while requests come, and sleeps while the server waits for events. When the
 * leading lane has been in one call for a tick, it calls another lane to lead; and where the
 * worker has siblings, it hands connections whose requests wait to one that is idle.
 */
#ifndef CHAUSSETTE_GUARD_H
#define CHAUSSETTE_GUARD_H

#include "core.h"

struct guard;

/* Starts it, if lanes or siblings need one. 0, or -1 with an exception. */
int guard_start(struct server *server);
void guard_stop(struct server *server);

/* Around each call of the application; needs the GIL. */
void guard_enter(struct lane *lane);
void guard_leave(struct lane *lane);

/* Around the wait for events; without the GIL. */
void guard_idle(struct server *server, bool idle);

/* A lane waits until it is called; without the GIL. */
void guard_wait_for_call(struct server *server);
/* Calls all lanes: the server is finished. */
void guard_call_all(struct server *server);

/* A sibling's connection has arrived. */
void guard_receive(struct server *server);

#endif
