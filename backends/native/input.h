/* wsgi.input and wsgi.file_wrapper as Python types. Needs the GIL throughout. */
#ifndef CHAUSSETTE_INPUT_H
#define CHAUSSETTE_INPUT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "body.h"

/* Readies the types and adds them to the module as Input and FileWrapper; called once from the
 * module's init. 0, or -1 with an exception. */
int input_ready(PyObject *module);

/* filewrapper.c's part of it; input_ready calls it. */
int file_wrapper_ready(PyObject *module);

/* A reader of a whole body in memory. Borrows nothing: steals `bytes` (a bytes object, or NULL
 * for an empty body), also on failure. New reference, or NULL with an exception, also when
 * one is set already: a failed PyBytes_FromStringAndSize may be handed over unchecked. */
PyObject *input_from_bytes(PyObject *bytes);

/* A reader of a spooled body: takes the body over (the caller's struct is reset to empty),
 * also on failure. New reference, or NULL with an exception. */
PyObject *input_from_body(struct body *body);

/* Makes every further read fail with OSError: the request is over and the app kept the reader.
 * Memory and file are given back at once. Borrows `input`; harmless when done twice. */
void input_detach(PyObject *input);

/* The class to put into environ["wsgi.file_wrapper"]: FileWrapper(filelike, blksize=8192), an
 * iterator over blocks with close(). Borrowed reference. */
PyObject *file_wrapper_type(void);

/* Whether result is exactly our FileWrapper, untouched by iteration, and reads a regular file
 * byte by byte as it is on disk: its read() is that of a FileIO, or of a BufferedReader or
 * BufferedRandom right on one. (A fileno() alone proves nothing: GzipFile has one.) Then *fd
 * (borrowed: the file's), *offset (its current position) and *count (bytes from there to its
 * end, 0 when there are none) are set and 1 is returned. 0: iterate it. Never raises. */
int file_wrapper_range(PyObject *result, int *fd, int64_t *offset, int64_t *count);

#endif
