/* New connections, shared fairly among the workers of one socket.
 *
 * Of the workers that wait on a socket the kernel wakes the one that has waited longest
 * (EPOLLEXCLUSIVE, epoll_ctl(2)). After each accept the socket leaves the epoll set and comes
 * back, which puts this worker behind its siblings; and a worker that is inside the
 * application does not wait, and gets nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core.h"

#define HANDFUL 16
#define PATIENCE_NS 200000 /* a request that costs more waits for its turn */
#define PAUSE_MS 100 /* without descriptors: until the next try */

static void listener_arm(struct server *server, struct listener *listener) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};

    if (server->options.shared)
        event.events |= EPOLLEXCLUSIVE;
    if (!listener->armed)
        listener->armed = epoll_ctl(server->epoll, EPOLL_CTL_ADD, listener->fd, &event) == 0;
}

static void listener_disarm(struct server *server, struct listener *listener) {
    if (listener->armed)
        epoll_ctl(server->epoll, EPOLL_CTL_DEL, listener->fd, NULL);
    listener->armed = false;
}

void listeners_arm(struct server *server) {
    bool wanted = server->accepting && !server->draining &&
                  server->conns < server->options.max_conns &&
                  server->now_ms >= server->next_accept_ms;

    for (uint32_t i = 0; i < server->listener_count; i++) {
        if (wanted)
            listener_arm(server, &server->listeners[i]);
        else
            listener_disarm(server, &server->listeners[i]);
    }
}

static void set_peer(struct peer *peer, const struct sockaddr_storage *from) {
    memset(peer, 0, sizeof *peer);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        memcpy(peer->address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
        memcpy(peer->address + 12, &in->sin_addr, 4);
        peer->port = ntohs(in->sin_port);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        memcpy(peer->address, &in6->sin6_addr, 16);
        peer->port = ntohs(in6->sin6_port);
    } else {
        peer->is_unix = true;
        return;
    }
    peer_describe(peer);
}

/* What is left to do when accept4 gave no connection. */
static void accept_failed(struct server *server, int error) {
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        /* The connection stays in the backlog, where a sibling may find it. */
        server->next_accept_ms = server->now_ms + PAUSE_MS;
        listeners_arm(server);
        break;
    default: /* EAGAIN: a sibling was faster; ECONNABORTED and the like: the peer has gone */
        break;
    }
}

/* Takes one connection; whether there may be more. */
static bool accept_one(struct lane *lane, struct listener *listener) {
    struct server *server = lane->server;
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    struct conn *conn;
    int fd;

    from.ss_family = AF_UNSPEC;
    fd = accept4(listener->fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        accept_failed(server, errno);
        return false;
    }
    if (server->options.shared) /* back behind the siblings, before anything can take its time */
        listener_disarm(server, listener);
    conn = conn_open(server, fd, (uint32_t)(listener - server->listeners));
    listeners_arm(server);
    if (conn == NULL)
        return true;
    set_peer(&conn->peer, &from);
    /* The request is mostly here already, and one that closes needs no place in the epoll set. */
    if (server->request_cost_ns < PATIENCE_NS)
        conn_event(lane, conn, EPOLLIN);
    if (conn->state != CONN_CLOSED && conn->want == WANT_NOTHING)
        conn_await(conn);
    return true;
}

void listener_accept(struct lane *lane, struct listener *listener) {
    struct server *server = lane->server;
    int most = server->options.shared ? 1 : HANDFUL;

    if (!listener->armed) /* by an event before this one in the batch */
        return;
    while (most-- > 0 && listener->armed && accept_one(lane, listener) && server->leader == lane)
        continue;
}
