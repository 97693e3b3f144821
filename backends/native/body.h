/* The body of one request: in memory, and past a limit in an unnamed temporary file.
 *
 * No Python. The only system calls are those of the temporary file.
 */
#ifndef CHAUSSETTE_BODY_H
#define CHAUSSETTE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body {
    char *data;     /* owned; the bytes while they are in memory */
    size_t room;    /* bytes allocated at data */
    uint64_t size;  /* bytes in total */
    int file;       /* -1, or the unlinked file that holds all of them */
};

/* An empty body; it owns nothing yet. */
void body_start(struct body *body);

/* Gives memory and file back; the body is empty again. errno is left alone. */
void body_free(struct body *body);

/* Appends; past `memory` bytes all of it moves to a file in `directory` (O_TMPFILE, or a
 * created and unlinked one). 0, or -1 with errno (ENOMEM, or as open(2) and pwrite(2): ENOSPC,
 * EDQUOT, EMFILE, ...); the body is then as it was before, and may be read or freed. `expected`:
 * the Content-Length, or 0; a hint for the first allocation only, bounded by `memory`. */
int body_append(struct body *body, const char *data, size_t len, uint64_t expected, size_t memory,
                const char *directory);

/* Copies from memory or file: `len` bytes, fewer only at the end of the body (0: `at` is at or
 * past it), -1 with errno (as pread(2); EIO when the file ends too early). */
int64_t body_read(const struct body *body, uint64_t at, char *out, size_t len);

#endif
