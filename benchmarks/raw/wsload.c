/* A loader of WebSockets: a closed loop on each connection, one thread, epoll.
 *
 *     wsload echo PORT CONNECTIONS SECONDS BYTES     a text there and back, again and again
 *     wsload broadcast PORT CONNECTIONS ROUNDS BYTES one client's text to all of them
 *     wsload idle PORT CONNECTIONS 0 0               open until standard input ends
 *
 * Writes one line when all are open ("open"), and one with the figures: messages, seconds,
 * and microseconds at the median and at 99 of 100 (of a message, or of a broadcast until the
 * last has it). Any frame but the one that is awaited is an error.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 20000
#define SAMPLES (1 << 22)

static const char REQUEST[] =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

static struct { int fd; uint32_t have; uint64_t sent; } conns[MOST];
static uint32_t samples[SAMPLES];
static uint64_t sample_count;
static uint8_t out[70000], wanted[70000], in[1 << 17];
static size_t out_len, wanted_len;

static void die(const char *what) {
    fprintf(stderr, "wsload: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
    exit(1);
}

static uint64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static size_t head(uint8_t *at, size_t len, int masked) {
    at[0] = 0x81;
    if (len < 126) {
        at[1] = (uint8_t)(len | masked);
        return 2;
    }
    at[1] = (uint8_t)(126 | masked);
    at[2] = (uint8_t)(len >> 8);
    at[3] = (uint8_t)len;
    return 4;
}

static void make(size_t len) {
    size_t at = head(out, len, 0x80);

    memcpy(out + at, "\x12\x34\x56\x78", 4);
    wanted_len = head(wanted, len, 0);
    for (size_t i = 0; i < len; i++) {
        wanted[wanted_len + i] = (uint8_t)('a' + i % 26);
        out[at + 4 + i] = wanted[wanted_len + i] ^ out[at + i % 4];
    }
    out_len = at + 4 + len;
    wanted_len += len;
}

static void opened(int fd) {
    size_t have = 0;

    if (send(fd, REQUEST, sizeof REQUEST - 1, 0) != (ssize_t)(sizeof REQUEST - 1))
        die("handshake");
    do {
        ssize_t got = recv(fd, in + have, 1, 0); /* not a byte of what comes behind it */
        if (got <= 0 || have > 4000)
            die("handshake");
        have += (size_t)got;
    } while (have < 4 || memcmp(in + have - 4, "\r\n\r\n", 4) != 0);
    errno = 0;
    if (memcmp(in, "HTTP/1.1 101", 12) != 0) {
        in[64] = 0;
        die((char *)in);
    }
}

static void say(uint32_t number) {
    conns[number].sent = now();
    if (send(conns[number].fd, out, out_len, MSG_NOSIGNAL) != (ssize_t)out_len)
        die("send");
}

/* Whether the message is complete. */
static int hear(uint32_t number) {
    ssize_t got = recv(conns[number].fd, in, sizeof in, 0);

    if (got <= 0)
        die("recv");
    errno = 0;
    if (conns[number].have + (size_t)got > wanted_len ||
        memcmp(in, wanted + conns[number].have, (size_t)got) != 0)
        die("message");
    conns[number].have += (uint32_t)got;
    if (conns[number].have < wanted_len)
        return 0;
    conns[number].have = 0;
    return 1;
}

static void sampled(uint64_t since) {
    if (sample_count < SAMPLES)
        samples[sample_count] = (uint32_t)((now() - since) / 100);
    sample_count++;
}

static int order(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint64_t echo(int poll, uint32_t count, double seconds) {
    struct epoll_event events[256];
    uint64_t end = now() + (uint64_t)(seconds * 1e9), messages = 0;

    for (uint32_t i = 0; i < count; i++)
        say(i);
    while (now() < end) {
        int ready = epoll_wait(poll, events, 256, 1000);
        for (int i = 0; i < ready; i++)
            if (hear(events[i].data.u32)) {
                messages++;
                sampled(conns[events[i].data.u32].sent);
                say(events[i].data.u32);
            }
    }
    return messages;
}

static uint64_t broadcast(int poll, uint32_t count, uint32_t rounds) {
    struct epoll_event events[256];

    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t heard = 0;
        say(0);
        while (heard < count) {
            int ready = epoll_wait(poll, events, 256, 30000);
            if (ready <= 0)
                die("a broadcast that does not come");
            for (int i = 0; i < ready; i++)
                heard += (uint32_t)hear(events[i].data.u32);
        }
        sampled(conns[0].sent);
    }
    return (uint64_t)count * rounds;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rlimit limit;
    int poll = epoll_create1(0), one = 1;
    uint32_t count = argc == 6 ? (uint32_t)atoi(argv[3]) : 0;
    uint64_t began, messages = 0;

    if (count == 0 || count > MOST || atoi(argv[5]) < 0 || atoi(argv[5]) > 65535)
        die("usage: wsload echo|broadcast|idle PORT CONNECTIONS SECONDS|ROUNDS BYTES");
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    address.sin_port = htons((uint16_t)atoi(argv[2]));
    make((size_t)atoi(argv[5]));
    for (uint32_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        conns[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (conns[i].fd < 0 || connect(conns[i].fd, (void *)&address, sizeof address) < 0)
            die("connect");
        setsockopt(conns[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        opened(conns[i].fd);
        epoll_ctl(poll, EPOLL_CTL_ADD, conns[i].fd, &event);
    }
    printf("open\n");
    fflush(stdout);
    began = now();
    if (strcmp(argv[1], "echo") == 0)
        messages = echo(poll, count, atof(argv[4]));
    else if (strcmp(argv[1], "broadcast") == 0)
        messages = broadcast(poll, count, (uint32_t)atoi(argv[4]));
    else
        (void)!read(0, in, sizeof in);
    if (sample_count > SAMPLES)
        sample_count = SAMPLES;
    qsort(samples, sample_count, sizeof *samples, order);
    printf("%llu %.6f %.1f %.1f\n", (unsigned long long)messages, (double)(now() - began) / 1e9,
           sample_count ? samples[sample_count / 2] / 10.0 : 0,
           sample_count ? samples[sample_count * 99 / 100] / 10.0 : 0);
    return 0;
}
