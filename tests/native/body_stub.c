/* body.c on a file system without O_TMPFILE. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>

static int refuse(void) {
    errno = EOPNOTSUPP;
    return -1;
}
#define open(...) refuse()
#include "body.c"
