/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/* Holds the writer lock of an LMDB store until its standard input ends:
 * hold_store DIRECTORY.  A line on standard output says that it has it. */

#include <lmdb.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    MDB_env *env;
    MDB_txn *txn;

    if (argc != 2 || mdb_env_create(&env) || mdb_env_set_maxdbs(env, 8) ||
        mdb_env_set_mapsize(env, 256 << 20) ||
        mdb_env_open(env, argv[1], MDB_NOSYNC | MDB_NOTLS, 0600) ||
        mdb_txn_begin(env, NULL, 0, &txn)) {
        return 1;
    }
    puts("held");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return 0;
}
