/* Preloaded into a program: writes down what reaches SQLite's files, so that they can be rebuilt as of any moment.
 *
 * RECORDER_DATABASE is the database's path, RECORDER_LOG where records go, and while the file RECORDER_FAULT exists the
 * next sync of the write-ahead log removes it and fails with EIO, though never two in a row.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum file { OTHER, DATABASE, LOG };

struct record {
    char kind; /* Write, Truncate, Unlink, Begin of a sync, its End or its Failure */
    char file;
    uint32_t thread;
    uint64_t offset;
    uint32_t length;
} __attribute__((packed));

static enum file file_of_path(const char *path)
{
    const char *database = getenv("RECORDER_DATABASE");
    size_t length = database ? strlen(database) : 0;
    if (!length || strncmp(path, database, length))
        return OTHER;
    if (!path[length])
        return DATABASE;
    return strcmp(path + length, "-wal") ? OTHER : LOG;
}

static enum file file_of(int descriptor)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return OTHER;
    path[length] = 0;
    return file_of_path(path);
}

static void note(char kind, enum file file, uint64_t offset, const void *data, size_t length)
{
    static int log = -1;
    int error = errno;
    if (log < 0)
        log = open(getenv("RECORDER_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    struct record record = {kind, (char)file, (uint32_t)gettid(), offset, (uint32_t)length};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)data, length}};
    if (writev(log, parts, 2) < 0)
        abort();
    errno = error;
}

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t offset)
{
    ssize_t written = NEXT(pwrite64)(descriptor, data, length, offset);
    enum file file = written > 0 ? file_of(descriptor) : OTHER;
    if (file)
        note('W', file, (uint64_t)offset, data, (size_t)written);
    return written;
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset)
{
    return pwrite64(descriptor, data, length, offset);
}

int ftruncate64(int descriptor, off64_t length)
{
    int result = NEXT(ftruncate64)(descriptor, length);
    enum file file = result ? OTHER : file_of(descriptor);
    if (file)
        note('T', file, (uint64_t)length, NULL, 0);
    return result;
}

int ftruncate(int descriptor, off_t length)
{
    return ftruncate64(descriptor, length);
}

int unlink(const char *path)
{
    int result = NEXT(unlink)(path);
    if (!result && file_of_path(path))
        note('U', file_of_path(path), 0, NULL, 0);
    return result;
}

static int synced(int descriptor, int (*sync)(int))
{
    enum file file = file_of(descriptor);
    const char *fault = getenv("RECORDER_FAULT");
    if (!file)
        return sync(descriptor);
    static int has_failed;
    note('B', file, 0, NULL, 0);
    int result = -1;
    if (file == LOG && !has_failed && fault && !NEXT(unlink)(fault))
        errno = EIO;
    else
        result = sync(descriptor);
    if (file == LOG)
        has_failed = result != 0;
    note(result ? 'F' : 'E', file, 0, NULL, 0);
    return result;
}

int fdatasync(int descriptor)
{
    return synced(descriptor, NEXT(fdatasync));
}

int fsync(int descriptor)
{
    return synced(descriptor, NEXT(fsync));
}
