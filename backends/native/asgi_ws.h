/* The WebSocket half of the ASGI driver. Needs the GIL throughout. */
#ifndef CHAUSSETTE_ASGI_WS_H
#define CHAUSSETTE_ASGI_WS_H

#include "asgi.h"
#include "websocket.h"

int ws_ready(void);

/* The head of a request that asks for a WebSocket, whose scope is built: makes it one, and leaves
 * the socket in lane->upgrade. 0, or a status to refuse with. */
int ws_head(struct lane *lane, struct exchange *exchange, const struct request *request,
            const char **reason);
/* NULL is fine. */
void ws_free(struct websocket *socket);

attempt ws_receive, ws_send;

/* Bytes of the client; how many are done with. */
size_t ws_raw(struct lane *lane, struct conn *conn, const char *data, size_t len);
/* The connection has ended without a close frame. */
void ws_gone(struct call *call);
/* Nothing has come for a while: pings; false when the last ping was not answered. */
bool ws_idle(struct call *call);
/* The worker drains: closes with 1012. */
void ws_leave(struct call *call);
/* Whether it is a WebSocket that was accepted and has not ended. */
bool ws_is_open(const struct call *call);
/* The application has ended before its WebSocket. */
void ws_ended(struct call *call, bool failed);

#endif
