/* Greenlets that run one request after the other, and the one per request of the strict way.
 *
 * A request must not find anything that another one left in its greenlet: values of
 * threading.local, gevent.local and contextvars, a gevent.Timeout that still runs, a link. All
 * of these show at the greenlet object itself (a reference, a weak reference, an attribute, a
 * context), so after each request it is looked at, and one that has a mark ends there.
 */
#include "greenlets.h"

#include <stdlib.h>

struct runner {
    struct runner *next;   /* idle ones */
    PyObject *greenlet;    /* owned */
    PyObject *switch_;     /* owned: its bound method */
    Py_ssize_t references; /* to the greenlet while nobody else has one */
    bool is_idle;
};

/* ---- what a request left behind ------------------------------------------------------- */

static bool has_attributes(PyObject *greenlet) {
    PyObject **dict = _PyObject_GetDictPtr(greenlet);

    return dict != NULL && *dict != NULL && PyDict_GET_SIZE(*dict) > 0;
}

static bool is_watched(PyObject *greenlet) {
    return PyType_SUPPORTS_WEAKREFS(Py_TYPE(greenlet)) &&
           *PyObject_GET_WEAKREFS_LISTPTR(greenlet) != NULL;
}

static bool is_dirty(const struct runner *runner) {
    return Py_REFCNT(runner->greenlet) != runner->references ||
           PyThreadState_Get()->context != NULL || is_watched(runner->greenlet) ||
           has_attributes(runner->greenlet);
}

/* ---- the greenlet's own side ------------------------------------------------------------- */

static void idle_add(struct greenlets *greenlets, struct runner *runner) {
    runner->next = greenlets->idle;
    greenlets->idle = runner;
    runner->is_idle = true;
}

static struct runner *idle_take(struct greenlets *greenlets) {
    struct runner *runner = greenlets->idle;

    if (runner != NULL) {
        greenlets->idle = runner->next;
        runner->is_idle = false;
    }
    return runner;
}

/* Somebody threw an exception into an idle greenlet: it ends, quietly. */
static void idle_leave(struct greenlets *greenlets, struct runner *runner) {
    struct runner **place = &greenlets->idle;

    PyErr_Clear();
    if (!runner->is_idle)
        return;
    while (*place != runner)
        place = &(*place)->next;
    *place = runner->next;
    runner->is_idle = false;
}

static void runner_free(struct runner *runner) {
    Py_XDECREF(runner->switch_);
    Py_XDECREF(runner->greenlet);
    free(runner);
}

/* Waits for the next turn; false: there will be none. */
static bool wait_for_turn(struct greenlets *greenlets, struct runner *runner) {
    PyObject *hub_switch = Py_NewRef(greenlets->hub_switch), *done;

    idle_add(greenlets, runner);
    done = PyObject_CallNoArgs(hub_switch); /* <- here idle greenlets wait; may be the last time */
    Py_DECREF(hub_switch);
    if (done == NULL || runner->is_idle) { /* not by runner_start */
        Py_XDECREF(done);
        if (runner->is_idle)
            idle_leave(greenlets, runner);
        PyErr_Clear();
        return false;
    }
    Py_DECREF(done);
    return true;
}

/* <- the main loop of a greenlet. */
static PyObject *run(PyObject *self, PyObject *unused) {
    struct greenlets *greenlets = ((struct server *)self)->greenlets;
    struct runner *runner = greenlets->starting;
    struct exchange *exchange;

    (void)unused;
    runner->references = Py_REFCNT(runner->greenlet);
    do {
        while ((exchange = greenlets_next(greenlets)) != NULL) {
            greenlets_run(greenlets, exchange, runner->greenlet);
            if (is_dirty(runner)) {
                runner_free(runner);
                Py_RETURN_NONE;
            }
        }
    } while (wait_for_turn(greenlets, runner));
    runner_free(runner);
    Py_RETURN_NONE;
}

/* One request in a gevent.Greenlet of its own. */
static PyObject *run_one(PyObject *self, PyObject *unused) {
    struct greenlets *greenlets = ((struct server *)self)->greenlets;
    struct exchange *exchange = greenlets_next(greenlets);
    PyObject *greenlet;

    (void)unused;
    if (exchange == NULL)
        Py_RETURN_NONE;
    if ((greenlet = PyObject_CallNoArgs(greenlets->getcurrent)) == NULL)
        return NULL;
    greenlets_run(greenlets, exchange, greenlet);
    Py_DECREF(greenlet);
    Py_RETURN_NONE;
}

static PyMethodDef run_method = {"run", run, METH_NOARGS, "Runs requests."};
static PyMethodDef run_one_method = {"run_one", run_one, METH_NOARGS, "Runs one request."};

PyObject *runner_body(struct server *server) {
    return PyCFunction_New(server->greenlets->strict ? &run_one_method : &run_method,
                           (PyObject *)server);
}

/* ---- the hub's side --------------------------------------------------------------------------- */

static struct runner *runner_new(struct greenlets *greenlets) {
    struct runner *runner = calloc(1, sizeof *runner);

    if (runner == NULL)
        return PyErr_NoMemory(), NULL;
    runner->greenlet =
        PyObject_CallFunctionObjArgs(greenlets->type, greenlets->body, greenlets->hub, NULL);
    if (runner->greenlet != NULL)
        runner->switch_ = PyObject_GetAttrString(runner->greenlet, "switch");
    if (runner->switch_ != NULL)
        return runner;
    runner_free(runner);
    return NULL;
}

/* Comes back when the greenlet waits, or is done. */
static int switch_to(PyObject *switch_) {
    PyObject *done = PyObject_CallNoArgs(switch_);

    if (done == NULL)
        PyErr_WriteUnraisable(switch_);
    Py_XDECREF(done);
    return 0;
}

static int start_strict(struct greenlets *greenlets) {
    PyObject *greenlet = PyObject_CallOneArg(greenlets->strict, greenlets->body);
    PyObject *switch_ = greenlet ? PyObject_GetAttrString(greenlet, "switch") : NULL;

    if (switch_ != NULL)
        switch_to(switch_);
    Py_XDECREF(greenlet);
    Py_XDECREF(switch_);
    return switch_ ? 0 : -1;
}

int runner_start(struct greenlets *greenlets) {
    struct runner *runner;
    PyObject *switch_;

    if (greenlets->strict != NULL)
        return start_strict(greenlets);
    if ((runner = idle_take(greenlets)) == NULL && (runner = runner_new(greenlets)) == NULL)
        return -1;
    greenlets->starting = runner;
    switch_ = Py_NewRef(runner->switch_); /* the runner may be gone when it comes back */
    switch_to(switch_);
    Py_DECREF(switch_);
    return 0;
}

void runners_free(struct greenlets *greenlets) {
    struct runner *runner;

    while ((runner = idle_take(greenlets)) != NULL) {
        PyObject *greenlet = Py_NewRef(runner->greenlet);
        PyObject *done = PyObject_CallMethod(greenlet, "throw", NULL); /* it frees its runner */
        if (done == NULL)
            PyErr_Clear();
        Py_XDECREF(done);
        Py_DECREF(greenlet);
    }
}
