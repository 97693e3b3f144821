#ifndef _GNU_SOURCE /* O_TMPFILE, mkostemp */
#define _GNU_SOURCE
#endif
#include "body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_ROOM = 4096, PATH_ROOM = 4096 };

void body_start(struct body *body) { *body = (struct body){.file = -1}; }

void body_free(struct body *body) {
    int saved = errno;
    free(body->data);
    if (body->file >= 0)
        close(body->file);
    body_start(body);
    errno = saved;
}

/* All of it or -1 with errno. */
static int write_all(int file, const char *data, size_t len, uint64_t at) {
    while (len > 0) {
        ssize_t written = pwrite(file, data, len, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            if (written == 0)
                errno = ENOSPC;
            return -1;
        }
        data += written;
        at += (uint64_t)written;
        len -= (size_t)written;
    }
    return 0;
}

/* For file systems without O_TMPFILE: the name exists for a moment. */
static int create_and_unlink(const char *directory) {
    char path[PATH_ROOM];
    int length = snprintf(path, sizeof path, "%s/chaussette-body-XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int file = mkostemp(path, O_CLOEXEC);
    if (file < 0)
        return -1;
    if (unlink(path) < 0) {
        int saved = errno;
        close(file);
        errno = saved;
        return -1;
    }
    return file;
}

/* O_EXCL: no linkat(2) can give it a name later. */
static int open_unnamed(const char *directory) {
    int file = open(directory, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file >= 0)
        return file;
    /* open(2): file systems without it say EOPNOTSUPP, kernels without it EISDIR. */
    if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)
        return create_and_unlink(directory);
    return -1;
}

/* From memory to a file. On failure the body stays in memory. */
static int spill(struct body *body, const char *directory) {
    int file = open_unnamed(directory);
    if (file < 0)
        return -1;
    if (write_all(file, body->data, (size_t)body->size, 0) < 0) {
        int saved = errno;
        close(file);
        errno = saved;
        return -1;
    }
    free(body->data);
    body->data = NULL;
    body->room = 0;
    body->file = file;
    return 0;
}

/* Room for `needed` bytes, which are not more than `memory`. */
static int grow(struct body *body, size_t needed, uint64_t expected, size_t memory) {
    if (needed <= body->room)
        return 0;
    size_t room = body->room ? body->room : FIRST_ROOM;
    if (body->room == 0 && expected > 0)
        room = expected < memory ? (size_t)expected : memory;
    while (room < needed)
        room = room > memory / 2 ? memory : room * 2;
    char *data = realloc(body->data, room);
    if (data == NULL)
        return -1;
    body->data = data;
    body->room = room;
    return 0;
}

int body_append(struct body *body, const char *data, size_t len, uint64_t expected, size_t memory,
                const char *directory) {
    if (len == 0)
        return 0;
    if (len > INT64_MAX - body->size) {
        errno = EFBIG;
        return -1;
    }
    if (body->file < 0 && body->size + len > memory && spill(body, directory) < 0)
        return -1;
    if (body->file >= 0) {
        if (write_all(body->file, data, len, body->size) < 0)
            return -1;
    } else {
        if (grow(body, (size_t)body->size + len, expected, memory) < 0)
            return -1;
        memcpy(body->data + body->size, data, len);
    }
    body->size += len;
    return 0;
}

static int64_t read_file(int file, uint64_t at, char *out, size_t len) {
    size_t done = 0;
    while (done < len) {
        ssize_t got = pread(file, out + done, len - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got == 0)
                errno = EIO; /* shorter than what was written: not ours any more */
            return -1;
        }
        done += (size_t)got;
    }
    return (int64_t)done;
}

int64_t body_read(const struct body *body, uint64_t at, char *out, size_t len) {
    if (at >= body->size)
        return 0;
    if (len > body->size - at)
        len = (size_t)(body->size - at);
    if (body->file >= 0)
        return read_file(body->file, at, out, len);
    memcpy(out, body->data + at, len);
    return (int64_t)len;
}
