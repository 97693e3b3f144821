/* The guard: a thread without the GIL that looks after a lane which stays in the application.
 *
 * It ticks only while requests come, and sleeps while the server waits for events. When the
 * leading lane has been busy with one batch for a tick, the guard calls another lane to lead;
 * where there is none, but the worker has siblings, it puts the connections whose requests
 * wait into a queue that all siblings read, so that one that is idle takes them. Only the
 * descriptor travels: bytes that nobody has read stay in the socket.
 */
#ifndef CHAUSSETTE_GUARD_H
#define CHAUSSETTE_GUARD_H

#include "core.h"

struct guard;

/* Starts it, if lanes or siblings need one. `queue` is a SOCK_SEQPACKET pair that siblings
 * share, the end to read and the end to write, or -1. 0, or -1 with an exception. */
int guard_start(struct server *server, int queue_read, int queue_write);
void guard_stop(struct server *server);

/* Around code of the application, and nothing else: in between the guard may work on the
 * server's connections. Cheap; needs the GIL. */
void guard_enter(struct lane *lane);
void guard_leave(struct lane *lane);

/* A batch of events begins. */
void guard_batch(struct server *server);

/* Around the wait for events; without the GIL. */
void guard_idle(struct server *server, bool idle);

/* A lane waits until it is called; without the GIL. */
void guard_wait_for_call(struct server *server);
/* Calls all lanes: the server is finished. */
void guard_call_all(struct server *server);

/* Takes one connection from the siblings' queue; whether there was one. */
bool guard_receive(struct server *server);

#endif
