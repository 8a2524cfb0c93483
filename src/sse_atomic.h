/* SPDX-License-Identifier: Apache-2.0
 * mod_sse: Server-Sent Events for Apache httpd.
 * See LICENSE for the terms. */

/**
 * @file sse_atomic.h
 * The atomic operations the module uses, by the compiler's builtins:
 * ThreadSanitizer sees these, and does not see into libapr's.
 */

#ifndef SSE_ATOMIC_H
#define SSE_ATOMIC_H

#define sse_atomic_load(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define sse_atomic_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define sse_atomic_add(p, v)   __atomic_add_fetch((p), (v), __ATOMIC_ACQ_REL)
#define sse_atomic_sub(p, v)   __atomic_sub_fetch((p), (v), __ATOMIC_ACQ_REL)

/** Whether *p was old, and is now new. */
#define sse_atomic_cas(p, old, new)                                            \
    __extension__({                                                            \
        __typeof__(*(p)) sse_expected_ = (old);                                \
        __atomic_compare_exchange_n((p), &sse_expected_, (new), 0,             \
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);       \
    })

#endif /* SSE_ATOMIC_H */
