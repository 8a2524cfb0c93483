/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_directives.h
 * What each directive takes: a file of rows for each topic, and what they
 * share.  Messages name the directive, the value and what is allowed; httpd
 * puts the file and the line in front.
 *
 * Threads: the one that reads the configuration; a request's for .htaccess.
 */

#ifndef SSE_DIRECTIVES_H
#define SSE_DIRECTIVES_H

#include "config/sse_config.h"

#define SSE_IN_SERVER RSRC_CONF
#define SSE_ANYWHERE  (RSRC_CONF | ACCESS_CONF | OR_ALL)

#define SSE_COUNT_MAX APR_INT64_C(1000000000)

/* The topics' rows, each ending with one that has no name. */
extern const command_rec sse_directives_channels[];
extern const command_rec sse_directives_streams[];
extern const command_rec sse_directives_limits[];
extern const command_rec sse_directives_hooks[];
extern const command_rec sse_directives_presence[];
extern const command_rec sse_directives_exec[];

/** All of them, for the module record. */
extern command_rec sse_directives[];

/** Where a directive of a location may stand, beyond what httpd checks: not in
 *  <Limit>, and in .htaccess only if AllowOverrideList names it.  To be asked
 *  before anything is set.
 *  @return NULL, or what the directive returns */
const char *sse_directives_check(const cmd_parms *cmd);

/** The same for a directive that cannot stand in .htaccess. */
const char *sse_directives_check_config(const cmd_parms *cmd);

/** The settings of the host whose configuration is being read. */
sse_server_conf_t *sse_directives_server(const cmd_parms *cmd);

/** The message for a value that is not allowed. */
const char *sse_directives_refuse(const cmd_parms *cmd, const char *value,
                                  const char *allowed);

/** Read an expression string.
 *  @return NULL, or what the directive returns */
const char *sse_directives_expr(const cmd_parms *cmd, const char *text,
                                const ap_expr_info_t **expr);

/** sse_directives_check(), and all words of a line: at least one and at most
 *  max (2, 3 or INT_MAX).  httpd's own functions silently stop at an empty one.
 *  @return NULL, or what the directive returns */
const char *sse_directives_words(const cmd_parms *cmd, const char *args,
                                 int max, apr_array_header_t **words);

/** The data of a directive that takes one of up to three words, in either case:
 *  the index of the word is the value of a member, an int. */
typedef struct {
    apr_size_t offset; /**< of the member in sse_dir_conf_t */
    const char *allowed, *words[3];
} sse_directives_word_t;

/** Reads it; cmd->info is a sse_directives_word_t. */
const char *sse_directives_set_word(cmd_parms *cmd, void *dir_conf,
                                    const char *arg);

#endif /* SSE_DIRECTIVES_H */
