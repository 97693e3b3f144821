/* Nanoseconds per frame read and written, and how fast bytes are unmasked and checked, without
 * sockets and without Python.
 *
 *     B=backends/native; gcc -std=c11 -O3 -fno-strict-aliasing -DCHAUSSETTE_ZLIB -I $B \
 *         benchmarks/native/websocket.c $B/ws_*.c $B/parse.c $B/framing.c $B/scan.c $B/token.c \
 *         -lz -o /tmp/websocket && /tmp/websocket
 *
 * Each case runs ROUNDS times, interleaved with the others; the least and the median are
 * printed, because everything else that the machine does only adds to them. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ws_parts.h"

enum { ROUNDS = 15, REPEATS = 100000, BULK = 65536, BULK_REPEATS = 500 };

static const uint8_t KEY[4] = {0x12, 0xf4, 0xa9, 0x80};
static uint8_t sent[BULK + 14], input[BULK + 14], bulk[BULK], to[BULK];
static volatile size_t sink;

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

static size_t make_frame(uint8_t *out, uint8_t first, const uint8_t *data, size_t len)
{
    uint8_t key[4];
    size_t head = ws_write_head(out, WS_OP_TEXT, true, false, len);
    out[0] = first;
    out[1] |= 0x80;
    memcpy(out + head, KEY, 4);
    memcpy(key, KEY, 4);
    ws_unmask(out + head + 4, data, len, key);
    return head + 4 + len;
}

/* Reads a frame in one piece and writes its message; the copy into the input stands for recv(). */
static double echo(size_t frame, const struct ws_extension *extension, int repeats, bool write)
{
    static struct ws_buffer out;
    struct ws_receiver receiver;
    struct ws_sender sender;
    struct ws_event event;
    size_t used, total = 0;
    ws_receiver_start(&receiver, 1 << 20, extension);
    ws_sender_start(&sender, extension, 0, (struct ws_deflate_level){1, 5}, NULL);
    double start = now();
    for (int i = 0; i < repeats; i++) {
        memcpy(input, sent, frame);
        if (ws_read(&receiver, input, frame, &used, &event) != WS_TEXT) {
            abort();
        }
        total += event.len;
        if (write) {
            out.len = 0;
            ws_write_message(&sender, WS_OP_TEXT, event.data, event.len, &out);
            total += out.len;
        }
    }
    double took = now() - start;
    sink = total;
    ws_receiver_free(&receiver);
    ws_sender_free(&sender);
    return took / repeats;
}

static const struct ws_extension NONE = {0};
static const struct ws_extension ON = {.deflate = true, .server_bits = 12, .client_bits = 12};

static double read_32(void)
{
    return echo(make_frame(sent, 0x81, (const uint8_t *)"Hello, this is a text of 32 byte", 32),
                &NONE, REPEATS, false);
}

static double echo_32(void)
{
    return echo(make_frame(sent, 0x81, (const uint8_t *)"Hello, this is a text of 32 byte", 32),
                &NONE, REPEATS, true);
}

static double echo_1000(void)
{
    memset(bulk, 'x', 1000);
    return echo(make_frame(sent, 0x81, bulk, 1000), &NONE, REPEATS, true);
}

static double echo_compressed(void)
{
    static struct ws_buffer out;
    struct ws_deflater *deflater = ws_deflater_new(12, (struct ws_deflate_level){6, 5});
    for (size_t i = 0; i < 1000; i++) {
        bulk[i] = (uint8_t)"{\"name\": \"value\", \"number\": 0123456789}"[i % 40];
    }
    out.len = 0;
    if (deflater == NULL || !ws_deflate(deflater, bulk, 1000, false, &out)) {
        return 0;
    }
    ws_deflater_free(deflater);
    return echo(make_frame(sent, 0xc1, out.at, out.len), &ON, REPEATS / 10, true);
}

/* GB/s over 64 KiB, which the second level of caches holds. */
static double speed(size_t (*once)(void))
{
    double start = now();
    for (int i = 0; i < BULK_REPEATS; i++) {
        sink = once();
    }
    return (double)BULK * BULK_REPEATS / (now() - start);
}

static size_t unmask_once(void)
{
    uint8_t key[4] = {1, 2, 3, 4};
    return ws_unmask(bulk, bulk, BULK, key);
}

static size_t unmask_copy_once(void)
{
    uint8_t key[4] = {1, 2, 3, 4};
    return ws_unmask(to, bulk, BULK, key);
}

static size_t utf8_once(void)
{
    uint32_t state = 0;
    return ws_utf8(&state, bulk, BULK);
}

static double unmask_speed(void)
{
    return speed(unmask_once);
}

static double unmask_copy_speed(void)
{
    return speed(unmask_copy_once);
}

static double utf8_speed(void)
{
    for (size_t i = 0; i < BULK; i++) { /* characters of two bytes */
        bulk[i] = i % 2 == 0 ? 0xc3 : 0xa9;
    }
    return speed(utf8_once);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static const struct {
        const char *name;
        double (*run)(void);
        const char *unit;
    } cases[] = {
        {"read a text of 32 bytes", read_32, "ns"},
        {"read and write a text of 32 bytes", echo_32, "ns"},
        {"read and write a text of 1000 bytes", echo_1000, "ns"},
        {"read and write 1000 bytes of JSON, compressed", echo_compressed, "ns"},
        {"unmask where it is", unmask_speed, "GB/s"},
        {"unmask into another place", unmask_copy_speed, "GB/s"},
        {"check UTF-8 of two bytes each", utf8_speed, "GB/s"},
    };
    enum { CASES = sizeof cases / sizeof cases[0] };
    static double taken[CASES][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CASES; i++) {
            taken[i][round] = cases[i].run();
        }
    }
    for (int i = 0; i < CASES; i++) {
        bool speed_of = cases[i].unit[0] == 'G';
        qsort(taken[i], ROUNDS, sizeof taken[i][0], by_value);
        printf("%-46s %8.1f %s, median %.1f\n", cases[i].name,
               taken[i][speed_of ? ROUNDS - 1 : 0], cases[i].unit, taken[i][ROUNDS / 2]);
    }
    return 0;
}
