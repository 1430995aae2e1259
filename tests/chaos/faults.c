/* Preloaded into a server: steps its clock, and fails its writes as a full disk does, as long as CHAOS_CONTROL says so.
 *
 * CHAOS_CONTROL is a file of two 64-bit numbers: by how many seconds the clock is wrong, and whether the disk is full.
 * CHAOS_DISK is what the paths begin with that lie on this disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile int64_t clock_offset;
    volatile int64_t disk_is_full;
};

static struct control nothing, *control = &nothing;

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static int (*next_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    next_clock_gettime = NEXT(clock_gettime);
    const char *path = getenv("CHAOS_CONTROL");
    int descriptor = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor < 0)
        return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, descriptor, 0);
    if (mapped != MAP_FAILED)
        control = mapped;
    close(descriptor);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!next_clock_gettime) /* another constructor asks before ours has run */
        next_clock_gettime = NEXT(clock_gettime);
    int result = next_clock_gettime(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += control->clock_offset;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec moment;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &moment);
    now->tv_sec = moment.tv_sec;
    now->tv_usec = moment.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    if (now)
        *now = moment.tv_sec;
    return moment.tv_sec;
}

static int has_no_room(int descriptor)
{
    char link[64], path[4096];
    const char *disk = getenv("CHAOS_DISK");
    if (!control->disk_is_full || !disk)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || strncmp(path, disk, strlen(disk)))
        return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t offset)
{
    return has_no_room(descriptor) ? -1 : NEXT(pwrite64)(descriptor, data, length, offset);
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset)
{
    return pwrite64(descriptor, data, length, offset);
}

ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t offset)
{
    return has_no_room(descriptor) ? -1 : NEXT(pwritev64)(descriptor, parts, count, offset);
}

ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset)
{
    return pwritev64(descriptor, parts, count, offset);
}

int posix_fallocate64(int descriptor, off64_t offset, off64_t length)
{
    return has_no_room(descriptor) ? ENOSPC : NEXT(posix_fallocate64)(descriptor, offset, length);
}

int posix_fallocate(int descriptor, off_t offset, off_t length)
{
    return posix_fallocate64(descriptor, offset, length);
}
