/* floor: the least that any server on this machine can cost.
 *
 *     floor PORT ANSWER [SEND_SIZE]
 *
 * A single-threaded epoll server that sends the bytes of the file ANSWER to
 * every request, in one send, or in blocks of SEND_SIZE bytes. Requests are only
 * cut apart: a head ends at the empty line, a POST or PUT has the Content-Length
 * bytes that follow it. A head with "Connection: close" is the last one of its
 * connection. PORT 0 lets the kernel choose; the port is printed on a line.
 *
 * Level-triggered, up to 256 events at a time, one recv and one send for all the
 * requests that it brought; an idle connection owns no buffer. The listener's
 * TCP_NODELAY is inherited. It checks nothing, limits nothing and logs nothing:
 * it is a yardstick and no server. Linux only: epoll(7), accept4(2).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVENTS = 256, READ_SIZE = 128 * 1024, MOST_FDS = 65536, MOST_COPIES = 64, TAIL = 4096 };

struct conn {
    char *rest;        /* owned; the start of a request whose end has not come, or NULL */
    size_t rest_size;
    size_t body_left;  /* bytes of a body that are still to be skipped */
    int asked;         /* a head has been read whose answer is not owed yet */
    size_t owed;       /* bytes of answers that are still to be sent */
    int closing;       /* nothing is read any more; closed when nothing is owed */
    int waiting;       /* EPOLLOUT is armed instead of EPOLLIN */
};

static struct conn conns[MOST_FDS];
static char input[READ_SIZE];
static char *answers; /* copies of the answer, one behind the other */
static size_t answer_size, copies, send_size;
static int poller;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void end(int fd)
{
    free(conns[fd].rest);
    memset(&conns[fd], 0, sizeof conns[fd]);
    close(fd); /* leaves the poller with it: the fd has no duplicates */
}

static void arm(int fd, int waiting)
{
    struct epoll_event wish = {.events = waiting ? EPOLLOUT : EPOLLIN, .data.fd = fd};
    if (conns[fd].waiting == waiting)
        return;
    conns[fd].waiting = waiting;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, fd, &wish))
        fail("epoll_ctl");
}

/* Sends what is owed, as far as the socket takes it. Returns 0 when the connection ended. */
static int flush(int fd)
{
    struct conn *c = &conns[fd];
    while (c->owed) {
        /* What is owed ends on an answer's end, so this is where the next byte is. */
        size_t at = (answer_size - c->owed % answer_size) % answer_size;
        size_t most = send_size ? send_size - at % send_size : answer_size * copies - at;
        size_t size = c->owed < most ? c->owed : most;
        ssize_t sent;
        if (send_size && at + size + TAIL > answer_size)
            size = answer_size - at; /* the head makes the last block a crumb: it goes along */
        sent = send(fd, answers + at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            end(fd);
            return 0;
        }
        if (sent < 0 && errno == EAGAIN) {
            arm(fd, 1);
            return 1;
        }
        if (sent > 0)
            c->owed -= (size_t)sent;
    }
    if (c->closing) {
        end(fd);
        return 0;
    }
    arm(fd, 0);
    return 1;
}

/* The value of the head's Content-Length; 0 without one. */
static size_t content_length(const char *head, size_t size)
{
    const char *found = memmem(head, size, "Content-Length:", 15);
    return found ? strtoul(found + 15, NULL, 10) : 0;
}

/* Cuts the requests in `data` apart and counts those whose body is there, too;
 * returns the bytes used up. */
static size_t cut(struct conn *c, const char *data, size_t size, size_t *requests)
{
    size_t used = 0;
    for (;;) {
        size_t skip = c->body_left < size - used ? c->body_left : size - used;
        const char *stop;
        size_t head;
        used += skip;
        c->body_left -= skip;
        if (c->body_left)
            return used;
        *requests += (size_t)c->asked;
        c->asked = 0;
        if (used == size)
            return used;
        stop = memmem(data + used, size - used, "\r\n\r\n", 4);
        if (!stop)
            return used;
        head = (size_t)(stop - data) + 4 - used;
        if (data[used] == 'P')
            c->body_left = content_length(data + used, head);
        if (memmem(data + used, head, "\nConnection: close\r", 19))
            c->closing = 1;
        used += head;
        c->asked = 1;
    }
}

static void keep(struct conn *c, const char *data, size_t size)
{
    free(c->rest);
    c->rest = NULL;
    c->rest_size = size;
    if (size && !(c->rest = malloc(size)))
        fail("malloc");
    if (size)
        memcpy(c->rest, data, size);
}

/* One recv, and one send for all that it completed. */
static void serve(int fd)
{
    struct conn *c = &conns[fd];
    size_t requests = 0, used, size = c->rest_size;
    ssize_t got;
    if (size)
        memcpy(input, c->rest, size);
    got = recv(fd, input + size, sizeof input - size, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        end(fd);
        return;
    }
    size += (size_t)got;
    used = cut(c, input, size, &requests);
    if (used < size || c->rest_size)
        keep(c, input + used, size - used);
    c->owed += requests * answer_size;
    if (c->owed)
        flush(fd);
}

static void welcome(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct epoll_event wish = {.events = EPOLLIN, .data.fd = fd};
    if (fd < 0)
        return;
    if (fd >= MOST_FDS || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wish))
        close(fd);
}

static int listening(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    socklen_t size = sizeof at;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096))
        fail("bind or listen");
    if (getsockname(fd, (struct sockaddr *)&at, &size))
        fail("getsockname");
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

static void load(const char *path)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t i;
    if (fd < 0 || fstat(fd, &about) || about.st_size == 0)
        fail(path);
    answer_size = (size_t)about.st_size;
    copies = READ_SIZE / answer_size;
    copies = copies > MOST_COPIES ? MOST_COPIES : copies ? copies : 1;
    if (!(answers = malloc(answer_size * copies)))
        fail("malloc");
    if (read(fd, answers, answer_size) != about.st_size)
        fail(path);
    for (i = 1; i < copies; i++)
        memcpy(answers + i * answer_size, answers, answer_size);
    close(fd);
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS], wish = {.events = EPOLLIN};
    struct rlimit files;
    int listener, count, i;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: floor PORT ANSWER [SEND_SIZE]\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    load(argv[2]);
    send_size = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0)
        fail("epoll_create1");
    listener = listening(atoi(argv[1]));
    wish.data.fd = listener;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wish))
        fail("epoll_ctl");
    for (;;) { /* main loop */
        count = epoll_wait(poller, events, EVENTS, -1);
        for (i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                welcome(fd);
            else if (conns[fd].waiting)
                flush(fd);
            else
                serve(fd);
        }
    }
}
