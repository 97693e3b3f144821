/* A buffer of whole lines in front of a file, pipe or socket, for one worker's access log.
 *
 * Never makes the worker wait for a reader: what cannot be written stays in the buffer, and
 * when that is full whole lines are dropped and counted. One thread at a time.
 */
#ifndef CHAUSSETTE_LOGBUF_H
#define CHAUSSETTE_LOGBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOGBUF_SIZE (64 * 1024)
#define LOGBUF_FULL (32 * 1024) /* a commit past it writes */
#define LOGBUF_LINE (16 * 1024) /* the longest line; 4096 on a pipe, where more would be torn */

enum logbuf_kind { LOGBUF_FILE, LOGBUF_PIPE, LOGBUF_SOCKET };

struct logbuf {
    int fd;                  /* owned; -1: closed */
    uint8_t kind;            /* enum logbuf_kind */
    bool ask_first;          /* a pipe that may block: poll(2) before each write */
    int failing;             /* errno of the last write, or 0 when it went well */
    uint32_t used;           /* bytes of data[] */
    uint32_t torn;           /* bytes at the start that are the rest of a half-written line */
    uint64_t lines, dropped; /* taken, and thrown away, since the start */
    char data[LOGBUF_SIZE];
};

/* Duplicates fd (the caller keeps its own) and looks at what it is. Where it can, a pipe is
 * opened anew without blocking: the flag of a shared one would bind other processes, too.
 * NULL with errno. */
struct logbuf *logbuf_open(int fd);

/* Writes what it can, closes, frees. */
void logbuf_close(struct logbuf *log);

/* A place for one line, to be filled and committed; *room becomes the bytes that it may have.
 * NULL when the buffer is full: the line counts as dropped, render nothing. */
char *logbuf_reserve(struct logbuf *log, size_t *room);

/* Takes the line that was put there; len 0 takes nothing. Writes when the buffer is half full,
 * unless the last write failed: then only logbuf_flush() tries again. */
void logbuf_commit(struct logbuf *log, size_t len);

/* Both in one for a line with its '\n'; a line that is too long is cut. False: dropped. */
bool logbuf_append(struct logbuf *log, const char *line, size_t len);

/* Writes all there is, if it is taken. 0, or the errno of what was in the way; then call it
 * again later. The loop calls it when idle and at least once a second. */
int logbuf_flush(struct logbuf *log);

/* For rotation: writes what it can, opens the path anew (append, created with 0640) and puts
 * it in the old one's place. 0, or -1 with errno, and the old file stays. */
int logbuf_reopen(struct logbuf *log, const char *path);

#endif
