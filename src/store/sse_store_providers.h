/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_store_providers.h
 * The built-in providers, one row each; the first is the default.  Included by
 * sse_store.c, which defines what a row expands to.
 */

SSE_STORE_PROVIDER(sse_store_lmdb)
