/* Nanoseconds per parsed head and per chunk, without sockets and without Python.
 *
 *     B=backends/native; gcc -std=c11 -O3 -I $B benchmarks/native/parse.c \
 *         $B/parse.c $B/framing.c $B/token.c $B/scan.c $B/chunk.c -o /tmp/parse && /tmp/parse
 *
 * Each case runs ROUNDS times, interleaved with the others; the least and the median
 * are printed, because everything else that the machine does only adds to them. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "parse.h"

enum { ROUNDS = 15, REPEATS = 200000 };

static const char HELLO[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
static const char WRK[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
static const char BROWSER[] =
    "GET /articles/2026/11/how-to-serve?page=2&sort=newest HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    "sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/130.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Referer: https://www.example.com/articles/\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cookie: sessionid=38afes7a8b3c4d5e6f708192a3b4c5d6; csrftoken=XnUY9PqkZ7b1m2c3v4B5n6M7; theme=dark\r\n"
    "\r\n";
static const char POST[] =
    "POST /api/items HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n"
    "Content-Length: 4096\r\nAccept: */*\r\n\r\n";
static const char CHUNKS[] =
    "5\r\nhello\r\n40\r\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n0\r\n\r\n";

static const struct parse_limits LIMITS = {8190, 8190, 100, 65536, true};
static const struct chunk_limits CHUNK_LIMITS = {4096, 16384, 65536, 100, 0};

static struct request request;
static volatile uint64_t sink;

static void parse(const char *text, size_t len)
{
    if (request_parse(&request, text, len, &LIMITS) != PARSE_DONE) {
        abort();
    }
    sink += request.count;
}

static void dechunk(const char *text, size_t len)
{
    struct chunked state;
    struct chunk_step step;
    chunked_start(&state);
    do {
        step = chunked_read(&state, text, len, &CHUNK_LIMITS);
        text += step.used;
        len -= step.used;
    } while (!step.done && step.status == 0);
    sink += state.total;
}

static const struct {
    const char *name;
    const char *text;
    size_t len;
    void (*run)(const char *text, size_t len);
} CASES[] = {
    {"hello, 1 field", HELLO, sizeof HELLO - 1, parse},
    {"wrk, 1 field", WRK, sizeof WRK - 1, parse},
    {"browser, 13 fields", BROWSER, sizeof BROWSER - 1, parse},
    {"POST, 4 fields", POST, sizeof POST - 1, parse},
    {"chunked, 3 chunks", CHUNKS, sizeof CHUNKS - 1, dechunk},
};
enum { COUNT = sizeof CASES / sizeof CASES[0] };

static double once(size_t which)
{
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (int i = 0; i < REPEATS; i++) {
        CASES[which].run(CASES[which].text, CASES[which].len);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / REPEATS;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static double took[COUNT][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            took[i][round] = once(i);
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        qsort(took[i], ROUNDS, sizeof took[i][0], by_size);
        printf("%-20s %4zu bytes  least %6.1f ns  median %6.1f ns\n", CASES[i].name, CASES[i].len,
               took[i][0], took[i][ROUNDS / 2]);
    }
    return 0;
}
