/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Where the store's directory may be, when root makes it for another user: who
 * can write to a directory on its path must not lead root elsewhere. */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#include "store.h"

#define NOBODY 65534 /* on Debian and elsewhere */
#define OTHER  12345 /* nobody has it */
#define GROUP  54321

static const char *path_of(apr_pool_t *pool, const char *name)
{
    return apr_pstrcat(pool, test_dir, "/", name, NULL);
}

static void make(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
    apr_pool_t *pool = test_pool();
    const char *path = path_of(pool, name);

    if (mkdir(path, 0700) || chown(path, uid, gid) || chmod(path, mode)) {
        perror(path);
    }
    apr_pool_destroy(pool);
}

static void make_link(const char *to, const char *name)
{
    apr_pool_t *pool = test_pool();

    if (symlink(to, path_of(pool, name))) {
        perror(name);
    }
    apr_pool_destroy(pool);
}

static int owner(const char *name)
{
    apr_pool_t *pool = test_pool();
    struct stat st;
    int uid = lstat(path_of(pool, name), &st) ? -1 : (int)st.st_uid;

    apr_pool_destroy(pool);
    return uid;
}

/* As root, for nobody; with a test of the configuration before, which has to
 * say the same, and to leave all as it is.
 * @return NULL, or why it is refused */
static const char *prepare(apr_pool_t *pool, const char *dir)
{
    sse_store_conf_t *conf = test_conf(pool, dir, "1m", "off");
    int before = owner(dir);
    const char *said = sse_store_test(conf, NOBODY, NOBODY, pool);
    const char *notice = NULL;
    apr_status_t rv;

    is_num(owner(dir), before, "a test of the configuration changes nothing");
    rv = sse_store_prepare(conf, NOBODY, NOBODY, &notice, pool);
    if (notice) {
        printf("# %s\n", notice);
    }
    if (said) {
        printf("# test: %s\n", said);
    }
    ok(!said == !rv, "and says what a start says");
    return rv ? notice : NULL;
}

static void is_made(const char *dir, const char *what)
{
    apr_pool_t *pool = test_pool();

    ok(!prepare(pool, dir), what);
    apr_pool_destroy(pool);
}

static void is_refused(const char *dir, const char *word, const char *what)
{
    apr_pool_t *pool = test_pool();
    const char *notice = prepare(pool, dir);

    ok(notice != NULL, what);
    ok(notice && strstr(notice, word) && strstr(notice, dir),
       "and told with what and why");
    apr_pool_destroy(pool);
}

/* In a directory of the user's, a link that leads to one of root's. */
static void test_link(void)
{
    make("roots", 0, 0, 0755);
    make("his", NOBODY, NOBODY, 0755);
    make_link("../roots", "his/store");
    is_refused("his/store", "symbolic link", "a link of the user's");
    is_num(owner("roots"), 0, "leads nowhere");
    make_link("../roots", "his/way");
    is_refused("his/way/store", "his", "nor does one on the way");
    is_num(owner("roots/store"), -1, "anywhere");
}

/* One of root's that the user has renamed. */
static void test_renamed(void)
{
    make("his/taken", 0, 0, 0755);
    is_refused("his/taken", "belongs to", "a directory of root's in his");
    is_num(owner("his/taken"), 0, "stays root's");
    make("deep", 0, 0, 0755);
    make("deep/his", NOBODY, NOBODY, 0755);
    make("deep/his/roots", 0, 0, 0755);
    make("deep/his/roots/store", 0, 0, 0755);
    is_refused("deep/his/roots/store", "deep/his",
               "also where the user's is further up");
    is_num(owner("deep/his/roots/store"), 0, "and stays root's");
}

static void test_his(void)
{
    make("his/own", NOBODY, NOBODY, 0700);
    is_made("his/own", "the user's own directory is used");
    is_made("his/new", "what is not there in his directory");
    is_num(owner("his/new"), NOBODY, "he makes himself");
    is_num(owner("his/new/data.mdb"), NOBODY, "with all that is in it");
}

/* Another one's, who might be anybody. */
static void test_others(void)
{
    make("others", OTHER, OTHER, 0755);
    is_refused("others/store", "others", "in another user's directory");
    is_num(owner("others/store"), -1, "nothing is made");
    make("group", 0, NOBODY, 0775);
    make("group/store", 0, 0, 0755);
    is_refused("group/store", "group", "nor given where his group may write");
    make("world", 0, 0, 0777);
    make("world/store", 0, 0, 0755);
    is_refused("world/store", "world", "or all may");
    make("staff", 0, GROUP, 0775);
    is_made("staff/store", "a group of administrators is trusted");
    is_num(owner("staff/store"), NOBODY, "it is his");
}

/* An access control list that lets the user write: the mode shows that as the
 * group's, and the group is root's. */
static void test_list(void)
{
    static const struct {
        apr_uint32_t version;
        struct {
            apr_uint16_t tag, perm;
            apr_uint32_t id;
        } entry[5];
    } list = {2,
              {{0x01, 7, ~0u},
               {0x02, 7, NOBODY},
               {0x04, 5, ~0u},
               {0x10, 7, ~0u},
               {0x20, 5, ~0u}}};
    apr_pool_t *pool = test_pool();

    make("listed", 0, 0, 0755);
    make("listed/store", 0, 0, 0755);
    if (setxattr(path_of(pool, "listed"), "system.posix_acl_access", &list,
                 sizeof(list), 0)) {
        printf("ok %d # SKIP no access control lists here\n", ++tap_count);
    }
    else {
        is_refused("listed/store", "listed", "nor where a list lets him");
        is_num(owner("listed/store"), 0, "and it stays root's");
    }
    make("plain", 0, 0, 0775);
    is_made("plain/store", "root's group without a list is trusted");
    apr_pool_destroy(pool);
}

/* As /tmp is: who makes a name there has it. */
static void test_sticky(void)
{
    apr_pool_t *pool = test_pool();

    make("sticky", 0, 0, 01777);
    is_made("sticky/store", "in a directory like /tmp it is made");
    is_num(owner("sticky/store"), NOBODY, "and given");
    make_link("../roots", "sticky/link");
    if (lchown(path_of(pool, "sticky/link"), OTHER, OTHER)) {
        perror("lchown");
    }
    is_refused("sticky/link", "symbolic link", "another one's link is not");
    is_num(owner("roots"), 0, "followed");
    apr_pool_destroy(pool);
}

/* The administrator's own links are. */
static void test_roots_link(void)
{
    make("disk", 0, 0, 0755);
    make_link("disk", "link");
    is_made("link/store", "root's link is followed");
    is_num(owner("disk/store"), NOBODY, "to where it leads");
    make_link("disk/target", "final");
    make("disk/target", 0, 0, 0755);
    is_made("final", "also the last one");
    is_num(owner("disk/target"), NOBODY, "which is given");
    make_link("loop", "loop");
    is_refused("loop", "loop", "but not in circles");
}

/* A single-named file of root's, which the user has renamed. */
static void test_file(void)
{
    apr_pool_t *pool = test_pool();
    FILE *file;

    make("files", NOBODY, NOBODY, 0700);
    file = fopen(path_of(pool, "files/data.mdb"), "w");
    fputs("a log of root's, long enough to be looked at\n", file);
    fclose(file);
    is_refused("files", "data.mdb", "a file that is not LMDB's");
    is_num(owner("files/data.mdb"), 0, "is not given away");
    apr_pool_destroy(pool);
}

/* With /etc/group of our own, which says that nobody is in a group, and in so
 * many others. */
static int join_groups(apr_pool_t *pool, int others)
{
    const char *path = path_of(pool, "etc-group");
    FILE *file;
    int i;

    if (unshare(CLONE_NEWNS) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        return 0;
    }
    file = fopen(path, "w");
    fprintf(file, "root:x:0:\nnogroup:x:%d:\nsse:x:%d:nobody\n", NOBODY, GROUP);
    for (i = 1; i <= others; ++i) {
        fprintf(file, "more%d:x:%d:nobody\n", i, GROUP + i);
    }
    fclose(file);
    return !mount(path, "/etc/group", NULL, MS_BIND, NULL);
}

/* As httpd's children have them. */
static void test_groups(void)
{
    apr_pool_t *pool = test_pool();
    FILE *file;
    pid_t pid;
    int result;

    make("grouped", 0, GROUP, 02770);
    file = fopen(path_of(pool, "grouped/README"), "w");
    fclose(file); /* so that it is not given away */
    is_refused("grouped", "grouped", "a group's directory is not for others");
    fflush(stdout);
    if (!(pid = fork())) {
        sse_store_conf_t *conf = test_conf(pool, "grouped", "1m", "off");
        const char *notice = NULL;

        if (!join_groups(pool, 0)) {
            _exit(77);
        }
        _exit(sse_store_test(conf, NOBODY, NOBODY, pool) ||
              sse_store_prepare(conf, NOBODY, NOBODY, &notice, pool));
    }
    result = wait_for(pid);
    if (result == 77) {
        printf("ok %d # SKIP no mount namespace here\n", ++tap_count);
    }
    else {
        is_num(result, 0, "but for those who are in it, as httpd's user");
    }
    apr_pool_destroy(pool);
}

/* Who is in more groups than are looked at may be in any. */
static void test_many_groups(void)
{
    apr_pool_t *pool = test_pool();
    pid_t pid;
    int result;

    make("many", 0, GROUP - 1, 0775);
    is_made("many/one", "a group that he is not in is trusted");
    fflush(stdout);
    if (!(pid = fork())) {
        sse_store_conf_t *conf = test_conf(pool, "many/two", "1m", "off");
        const char *notice = NULL;

        if (!join_groups(pool, 300)) {
            _exit(77);
        }
        _exit(!sse_store_prepare(conf, NOBODY, NOBODY, &notice, pool));
    }
    result = wait_for(pid);
    if (result == 77) {
        printf("ok %d # SKIP no mount namespace here\n", ++tap_count);
    }
    else {
        is_num(result, 0, "but not when he is in too many to tell");
        is_num(owner("many/two"), -1, "and nothing is made there");
    }
    apr_pool_destroy(pool);
}

int main(void)
{
    test_begin();
    if (geteuid() != 0) {
        test_remove(test_dir);
        puts("1..0 # SKIP only root prepares for another user");
        return 0;
    }
    test_link();
    test_renamed();
    test_his();
    test_others();
    test_list();
    test_sticky();
    test_roots_link();
    test_file();
    test_groups();
    test_many_groups();
    return test_end();
}
