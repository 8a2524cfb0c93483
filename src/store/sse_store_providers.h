/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_store_providers.h
 * The providers that are built in, a row each; the first is the default.  For
 * sse_store.c, which says what a row becomes.
 */

SSE_STORE_PROVIDER(sse_store_lmdb)
