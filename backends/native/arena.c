/* Memory for the frames of greenlets.
 *
 * CPython 3.11 takes the first chunk of a greenlet's frames from the arena allocator: one mmap,
 * one munmap and the page faults in between for each greenlet that is made, which costs more
 * than a request. Chunks that are given back are kept for the next one.
 */
#include "greenlets.h"

#define CHUNK (16 * 1024) /* DATA_STACK_CHUNK_SIZE of CPython 3.11's pystate.c */
#define MOST 1024         /* chunks; more of them go back */

static PyObjectArenaAllocator below;
static void *kept[MOST];
static unsigned kept_count;

static void *chunk_alloc(void *context, size_t size) {
    if (size == CHUNK && kept_count > 0)
        return kept[--kept_count];
    return below.alloc(context, size);
}

static void chunk_free(void *context, void *at, size_t size) {
    if (size == CHUNK && kept_count < MOST)
        kept[kept_count++] = at;
    else
        below.free(context, at, size);
}

void arena_keep(void) {
    PyObjectArenaAllocator ours;

    if (PY_VERSION_HEX >> 16 != 0x030B || below.alloc != NULL)
        return;
    PyObject_GetArenaAllocator(&below);
    ours = (PyObjectArenaAllocator){below.ctx, chunk_alloc, chunk_free};
    PyObject_SetArenaAllocator(&ours);
}
