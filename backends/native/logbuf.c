#define _GNU_SOURCE /* dup3 */
#include "logbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ------------------------------------------------------------------- */

/* A description of our own, with O_NONBLOCK, of the pipe or terminal behind fd; or -1. */
static int open_anew(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Sets log->fd and what follows from its kind. 0, or -1 with errno. */
static int take(struct logbuf *log, int fd)
{
    struct stat what;
    if (fstat(fd, &what) < 0)
        return -1;
    log->kind = S_ISSOCK(what.st_mode)                              ? LOGBUF_SOCKET
                : S_ISFIFO(what.st_mode) || S_ISCHR(what.st_mode) ? LOGBUF_PIPE
                                                                    : LOGBUF_FILE;
    log->fd = log->kind == LOGBUF_PIPE ? open_anew(fd) : -1;
    log->ask_first = log->kind == LOGBUF_PIPE && log->fd < 0;
    if (log->fd < 0)
        log->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return log->fd < 0 ? -1 : 0;
}

struct logbuf *logbuf_open(int fd)
{
    struct logbuf *log = malloc(sizeof *log);
    if (!log)
        return NULL;
    memset(log, 0, offsetof(struct logbuf, data));
    if (take(log, fd) < 0) {
        free(log);
        return NULL;
    }
    return log;
}

void logbuf_close(struct logbuf *log)
{
    if (!log)
        return;
    logbuf_flush(log);
    close(log->fd);
    free(log);
}

int logbuf_reopen(struct logbuf *log, const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0)
        return -1;
    logbuf_flush(log);
    /* The rest of a line whose start is in the old file would be a lie in the new one. */
    log->used -= log->torn;
    memmove(log->data, log->data + log->torn, log->used);
    log->torn = 0;
    int done = dup3(fd, log->fd, O_CLOEXEC);
    int error = errno;
    close(fd);
    errno = error;
    log->failing = 0;
    return done < 0 ? -1 : 0;
}

/* ---- writing --------------------------------------------------------------------- */

static ssize_t write_once(const struct logbuf *log, size_t len)
{
    struct pollfd ask = {.fd = log->fd, .events = POLLOUT};
    if (log->kind == LOGBUF_SOCKET)
        return send(log->fd, log->data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    /* poll(2) says POLLOUT of a pipe when PIPE_BUF bytes fit. */
    if (log->ask_first && (poll(&ask, 1, 0) < 1 || !(ask.revents & (POLLOUT | POLLERR)))) {
        errno = EAGAIN;
        return -1;
    }
    return write(log->fd, log->data, len);
}

/* Whole lines from the start: all of them to a file; to a pipe as many as it takes or refuses
 * as one (PIPE_BUF, pipe(7)), so that the lines of several workers do not mix. */
static size_t piece(const struct logbuf *log)
{
    if (log->kind != LOGBUF_PIPE || log->used <= PIPE_BUF)
        return log->used;
    const char *end = memrchr(log->data, '\n', PIPE_BUF);
    return end ? (size_t)(end - log->data) + 1 : PIPE_BUF;
}

static void forget(struct logbuf *log, size_t len)
{
    const char *end = log->data[len - 1] == '\n' ? NULL : memchr(log->data + len, '\n', log->used - len);
    log->torn = end ? (uint32_t)((size_t)(end - log->data) + 1 - len) : 0;
    log->used -= (uint32_t)len;
    memmove(log->data, log->data + len, log->used);
}

int logbuf_flush(struct logbuf *log)
{
    while (log->used) {
        ssize_t written = write_once(log, piece(log));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return log->failing = written < 0 ? errno : EIO;
        forget(log, (size_t)written);
    }
    return log->failing = 0;
}

/* ---- lines ------------------------------------------------------------------------ */

char *logbuf_reserve(struct logbuf *log, size_t *room)
{
    *room = log->kind == LOGBUF_PIPE ? PIPE_BUF : LOGBUF_LINE;
    if (sizeof log->data - log->used >= *room)
        return log->data + log->used;
    if (!log->failing && !logbuf_flush(log))
        return log->data;
    log->dropped++;
    return NULL;
}

void logbuf_commit(struct logbuf *log, size_t len)
{
    log->used += (uint32_t)len;
    log->lines += len > 0;
    if (log->used > LOGBUF_FULL && !log->failing)
        logbuf_flush(log);
}

bool logbuf_append(struct logbuf *log, const char *line, size_t len)
{
    size_t room;
    char *out = logbuf_reserve(log, &room);
    if (!out)
        return false;
    bool cut = len > room;
    memcpy(out, line, cut ? room : len);
    if (cut)
        out[room - 1] = '\n';
    logbuf_commit(log, cut ? room : len);
    return true;
}
