/* Clocks, and the Date field that is made once per second. */
#include <string.h>
#include <time.h>

#include "core.h"

static uint64_t read_clock(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_ms(void) { return read_clock(CLOCK_MONOTONIC_COARSE) / 1000000u; }

uint64_t clock_ns(void) { return read_clock(CLOCK_MONOTONIC); }

int64_t wall_ns(void) { return (int64_t)read_clock(CLOCK_REALTIME); }

void date_refresh(struct server *server) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec == server->date_second)
        return;
    server->date_second = now.tv_sec;
    gmtime_r(&now.tv_sec, &utc);
    /* strftime would speak the language that the application has set. */
    server->date_len = (uint32_t)snprintf(
        server->date, sizeof server->date, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
        days[utc.tm_wday], utc.tm_mday, months[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour,
        utc.tm_min, utc.tm_sec);
}
