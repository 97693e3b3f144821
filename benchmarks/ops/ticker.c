/* A process that reports its birth and then only exists.
 *
 * Run as `ticker NAME`: sends "PID CLOCK" (CLOCK_MONOTONIC, in ns) to the unix
 * datagram socket of that abstract name. The clock is read before anything
 * else, so neither the report nor its receiver count. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec now;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char text[64];
    int fd, length;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (argc < 2 || strlen(argv[1]) > sizeof to.sun_path - 1)
        return 2;
    memcpy(to.sun_path + 1, argv[1], strlen(argv[1]));
    length = snprintf(text, sizeof text, "%d %lld", (int)getpid(),
                      now.tv_sec * 1000000000LL + now.tv_nsec);
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0 || sendto(fd, text, (size_t)length, 0, (struct sockaddr *)&to,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(argv[1]))) < 0)
        return 1;
    close(fd);
    for (;;)
        pause();
}
