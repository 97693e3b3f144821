/* A driver for the fuzz_*.c files where there is no libFuzzer: replays a corpus, and
 * then mutations of it until the time is over.
 *
 *     fuzz SECONDS SEED DIRECTORY
 *
 * Prints how many inputs were executed. No coverage guides it: it finds less than
 * libFuzzer in the same time, and needs nothing but a compiler. An input that fails
 * is written to standard error in hexadecimal. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_SEEDS = 512, MOST_BYTES = 2048 };

static struct seed {
    uint8_t bytes[MOST_BYTES];
    size_t len;
} seeds[MOST_SEEDS];
static size_t seed_count;

static struct seed input; /* the one under way, for the handler of SIGABRT */
static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static size_t below(size_t bound)
{
    return (size_t)(next_random() % bound);
}

static void show_input(int number)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < input.len; i++) {
        char pair[2] = {digits[input.bytes[i] >> 4], digits[input.bytes[i] & 15]};
        if (write(2, pair, 2) != 2) {
            break;
        }
    }
    (void)!write(2, "\n", 1);
    signal(number, SIG_DFL);
    raise(number);
}

static void load_seeds(const char *directory)
{
    DIR *open = opendir(directory);
    if (open == NULL) {
        perror(directory);
        exit(2);
    }
    struct dirent *entry;
    while ((entry = readdir(open)) != NULL && seed_count < MOST_SEEDS) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (file != NULL) {
            seeds[seed_count].len = fread(seeds[seed_count].bytes, 1, MOST_BYTES, file);
            seed_count++;
            fclose(file);
        }
    }
    closedir(open);
}

static void replace(size_t from, size_t len, const uint8_t *with, size_t with_len)
{
    if (input.len - len + with_len > MOST_BYTES) {
        return;
    }
    memmove(input.bytes + from + with_len, input.bytes + from + len, input.len - from - len);
    memcpy(input.bytes + from, with, with_len);
    input.len = input.len - len + with_len;
}

static void mutate(void)
{
    static const char bytes[] = "\0\t\n\r\r\n  \"#%,,-/0123456789:::;;?@AZ[\\]_az{|}~\x7f\x80\xff";
    size_t at = below(input.len + 1);
    size_t rest = input.len - at;
    uint8_t byte = below(4) == 0 ? (uint8_t)next_random() : (uint8_t)bytes[below(sizeof bytes - 1)];
    const struct seed *other = &seeds[below(seed_count)];
    size_t from = below(other->len + 1);
    switch (below(5)) {
    case 0:
        replace(at, rest > 0, &byte, 1);
        break;
    case 1:
        replace(at, 0, &byte, 1);
        break;
    case 2:
        replace(at, rest > 0 ? 1 + below(rest) % 8 : 0, &byte, 0);
        break;
    case 3:
        replace(at, 0, other->bytes + from, below(other->len - from + 1));
        break;
    case 4:
        replace(at, below(rest + 1), other->bytes + from, other->len - from);
        break;
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s SECONDS SEED DIRECTORY\n", argv[0]);
        return 2;
    }
    signal(SIGABRT, show_input);
    random_state = strtoull(argv[2], NULL, 10) * 2 + 1;
    load_seeds(argv[3]);
    unsigned long long executed = 0;
    for (size_t i = 0; i < seed_count; i++, executed++) {
        input = seeds[i];
        LLVMFuzzerTestOneInput(input.bytes, input.len);
    }
    time_t until = time(NULL) + strtol(argv[1], NULL, 10);
    while (seed_count > 0 && time(NULL) < until) {
        input = seeds[below(seed_count)];
        for (size_t times = 1 + below(4); times > 0; times--) {
            mutate();
        }
        LLVMFuzzerTestOneInput(input.bytes, input.len);
        executed++;
    }
    printf("executed %llu inputs, %zu of them from %s\n", executed, seed_count, argv[3]);
    return seed_count == 0;
}
