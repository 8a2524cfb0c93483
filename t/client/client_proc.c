/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file client_proc.c
 * The server as /proc shows it.
 */

#include "t/client/client.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* /proc/pid/stat behind the name, which may hold anything: state, parent, ...
 * @return whether the process is there */
static int read_stat(const char *pid, char *fields, size_t size)
{
    char path[64], line[1024];
    char *p = NULL;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
    file = fopen(path, "re");
    if (!file) {
        return 0;
    }
    if (fgets(line, sizeof(line), file)) {
        p = strrchr(line, ')');
    }
    fclose(file);
    if (!p || strlen(p) < 3) {
        return 0;
    }
    snprintf(fields, size, "%s", p + 2);
    return 1;
}

void proc_children(pid_t parent, proc_children_t *children)
{
    char fields[1024];
    struct dirent *entry;
    DIR *dir = opendir("/proc");

    children->n = 0;
    while (dir && (entry = readdir(dir)) != NULL) {
        if (isdigit((unsigned char)entry->d_name[0]) &&
            read_stat(entry->d_name, fields, sizeof(fields)) &&
            fields[0] != 'Z' && strtol(fields + 1, NULL, 10) == parent &&
            children->n < PROC_CHILDREN_MAX) {
            children->pids[children->n++] =
                (pid_t)strtol(entry->d_name, NULL, 10);
        }
    }
    if (dir) {
        closedir(dir);
    }
    if (!children->n) {
        die("httpd (%d) has no children", (int)parent);
    }
}

long proc_find(pid_t pid, const char *name, const char *key)
{
    char path[64], line[256];
    size_t len = strlen(key);
    long value = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    file = fopen(path, "re");
    while (file && value < 0 && fgets(line, sizeof(line), file)) {
        if (!strncmp(line, key, len) && line[len] == ':') {
            value = strtol(line + len + 1, NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return value;
}

long proc_value(pid_t pid, const char *name, const char *key)
{
    long value = proc_find(pid, name, key);

    if (value < 0) {
        die("/proc/%d/%s has no %s", (int)pid, name, key);
    }
    return value;
}

int proc_count_descriptors(pid_t pid)
{
    char path[64];
    struct dirent *entry;
    int n = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    if (!dir) {
        return -1;
    }
    while ((entry = readdir(dir)) != NULL) {
        n += entry->d_name[0] != '.';
    }
    closedir(dir);
    return n;
}

int proc_descriptors(pid_t pid)
{
    int n = proc_count_descriptors(pid);

    if (n < 0) {
        die("cannot read /proc/%d/fd", (int)pid);
    }
    return n;
}

/* utime and stime are the 12th and 13th behind the name. */
static uint64_t ticks_of(pid_t pid)
{
    char name[24], fields[1024];
    char *p = fields;
    uint64_t user;
    int i;

    snprintf(name, sizeof(name), "%d", (int)pid);
    if (!read_stat(name, fields, sizeof(fields))) {
        die("httpd's child %s is gone", name);
    }
    for (i = 0; i < 11 && p; ++i) {
        p = strchr(p, ' ');
        p = p ? p + 1 : NULL;
    }
    if (!p) {
        die("/proc/%s/stat is not as expected", name);
    }
    user = strtoull(p, &p, 10);
    return user + strtoull(p, NULL, 10);
}

uint64_t proc_cpu(const proc_children_t *children)
{
    uint64_t ticks = 0;
    int i;

    for (i = 0; i < children->n; ++i) {
        ticks += ticks_of(children->pids[i]);
    }
    return ticks * (SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}
