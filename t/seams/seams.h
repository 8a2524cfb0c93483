/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file seams.h
 * A store provider, a format, a listener and a front end that are added to the
 * module by adding files only.  The store, the listener and the front end
 * register themselves when the module is loaded; the front end has the format.
 */

#ifndef SEAMS_H
#define SEAMS_H

#include "stream/format/sse_format.h"

/** Each event is a line of its data, as text/plain. */
extern const sse_format_t seams_format;

#endif /* SEAMS_H */
