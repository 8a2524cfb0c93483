# SPDX-License-Identifier: Apache-2.0
# mod_sse: Server-Sent Events for Apache httpd.
#
# make run        install what is missing, build, serve the demo   (PORT=8080)
# make test       install what is missing, build, run every test   (PORT=8529)
#
# make            build/mod_sse.so and build/sse-store
# make install    put them where apxs says, with mod_sse.h, sse-publish, and
#                 sse.load and sse.conf in mods-available or extra (DESTDIR=,
#                 CONFDIR=)
# make check      one Apache::Test run: MPM=event|worker|prefork,
#                 SAN=address,undefined|thread, TESTS=t/http/basic.t,
#                 ARGS=-verbose
# make check-one T=t/http/basic.t    one test with all that it says; also
#                 T=t/unit/test_queue.c or T=t/config/errors.pl (MPM=, SAN=)
# make check-unit check-conf check-fuzz check-valgrind test-browser lint
# make bench      what it costs and how fast it is, in build/bench/results.txt
#                 (SCENARIOS="idle close latency fanout publish long resume slow burst hooks authorize presence
#                 scrape programs programs_shared
#                 h2_idle h2_cpu h2_close h2_pages h2_site")
# make bench-close  how soon a client's close is told
# make bench-store  what the store costs by itself
# make soak       restarts and crashes under load: nothing is lost
#                 (SOAK_SECONDS=600, SOAK_SEED=; see docs/operations.md)
# make soak-hooks  webhooks meanwhile: each opening and end is told, once
# make soak-http2  connections over HTTP/2 that come and go, their events counted
#                 (SOAK_SECONDS=600, SOAK_SEED=; part of make check, shorter)
# make setup      only install what is missing                (SETS="run test")
# make clean

APXS  ?= apxs
HTTPD ?= /usr/sbin/apache2
MPM   ?= event
SAN   ?=
SETS  ?= run test
FUZZ_SECONDS ?= 30

export HTTPD

# V=1 shows the commands.
Q := $(if $(V),,@)
say = @echo "  $(1)"

comma    := ,
sanname  := $(subst $(comma),-,$(SAN))
builddir := build$(if $(SAN),/san-$(sanname))$(if $(WERROR),/werror)

SRCS := $(sort mod_sse.c $(wildcard src/*/*.c src/*/*/*.c))
OBJS := $(SRCS:%.c=$(builddir)/obj/%.o)
SO   := $(builddir)/mod_sse.so
TOOL := $(builddir)/sse-store

# Parts that are libraries of their own: no httpd header, no httpd at link.
LIB_OBJS   := $(filter $(builddir)/obj/src/event/% $(builddir)/obj/src/store/%,\
                $(OBJS))
# Others that need nothing of httpd to be linked.
UNIT_OBJS  := $(LIB_OBJS) $(addprefix $(builddir)/obj/src/,stream/sse_queue.o \
                stream/format/sse_buf.o stream/format/sse_format_gap.o \
                stream/format/sse_format_json.o stream/format/sse_format_sse.o \
                http/sse/sse_prefer.o http/sse/sse_accept.o http/sse_grant.o \
                http/status/sse_status_text.o hub/sse_channels.o \
                hub/sse_presence_json.o hub/sse_presence_text.o \
                stream/wait/sse_h2_frames.o \
                $(addprefix stream/splice/sse_splice_frames,.o _requests.o \
                _windows.o) shared/sse_quota.o \
                shared/sse_histogram.o \
                notify/sse_listeners.o $(addprefix notify/webhook/,\
                sse_hook_letter.o sse_hook_outbox.o sse_hook_retry.o \
                sse_hook_signature.o sse_hook_target.o sse_hook_transfer.o)) \
              $(addprefix $(builddir)/obj/src/notify/webhook/sse_hook_,claim.o \
                opens.o queue.o record.o segment.o spool.o sweep.o) \
              $(addprefix $(builddir)/obj/src/exec/sse_exec_,wire.o spawn.o orphans.o \
                loop.o run.o table.o share.o)
UNIT_SRCS  := $(wildcard t/unit/test_*.c)
UNIT_PROGS := $(UNIT_SRCS:t/unit/%.c=$(builddir)/unit/%)
CONF_TESTS := $(wildcard t/config/*.pl t/install.pl t/examples/*.pl)

# apxs is asked once, and only when something is compiled: on a fresh machine
# it is not there before "setup" has run.
ask = $(eval $(1) := $$(shell $(2)))$($(1))
APXS_CC         = $(call ask,APXS_CC,$(APXS) -q CC)
APXS_CPPFLAGS   = $(call ask,APXS_CPPFLAGS,$(APXS) -q CPPFLAGS EXTRA_CPPFLAGS \
                    | tr ';' ' ')
INCLUDEDIR      = $(call ask,INCLUDEDIR,$(APXS) -q INCLUDEDIR)
APR_INCLUDEDIR  = $(call ask,APR_INCLUDEDIR,$(APXS) -q APR_INCLUDEDIR)
BINDIR          = $(call ask,BINDIR,$(APXS) -q BINDIR)
SBINDIR         = $(call ask,SBINDIR,$(APXS) -q SBINDIR)
LIBEXECDIR      = $(call ask,LIBEXECDIR,$(APXS) -q LIBEXECDIR)
SYSCONFDIR      = $(call ask,SYSCONFDIR,$(APXS) -q SYSCONFDIR)
APR_CONFIG      = $(call ask,APR_CONFIG,$(APXS) -q APR_CONFIG)
APR_LIBS        = $(call ask,APR_LIBS,$(APR_CONFIG) --link-ld --libs)
APU_CONFIG      = $(call ask,APU_CONFIG,$(APXS) -q APU_CONFIG)
APU_LIBS        = $(call ask,APU_LIBS,$(APU_CONFIG) --link-ld)

ifeq ($(origin CC),default)
CC = $(APXS_CC)
endif

# httpd's headers go in by -isystem: they do not stand -Wextra.
SSE_CPPFLAGS = $(APXS_CPPFLAGS) -I. -Isrc -isystem $(INCLUDEDIR) \
               -isystem $(APR_INCLUDEDIR)
WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
           -Wno-unused-parameter -Wdeclaration-after-statement \
           $(if $(WERROR),-Werror)
SSE_CFLAGS  = -std=gnu99 -g -O2 -fPIC -fvisibility=hidden $(WARNINGS)
SSE_LDFLAGS = -shared -Wl,--as-needed -Wl,-z,relro -Wl,-z,now
SSE_LIBS    = -luv -llmdb -ljansson -lcurl -lcrypto

ifneq ($(SAN),)
SANFLAGS = -O1 -fno-omit-frame-pointer -fsanitize=$(SAN)
endif

all: $(SO) $(TOOL)

# The module with a store, a format, a listener and a front end more, for the
# test that these are added by adding files only.
SEAMS     := $(builddir)/seams/mod_sse.so
SEAM_OBJS := $(patsubst %.c,$(builddir)/obj/%.o,$(wildcard t/seams/*.c))
seams: $(SEAMS)
$(SEAMS): $(SEAM_OBJS)

$(SO) $(SEAMS): $(OBJS)
	$(call say,LD $@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) $(SSE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(SSE_LIBS) \
	    $(LDLIBS)

$(builddir)/obj/%.o: %.c Makefile | need-apxs
	$(call say,CC $<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SSE_CPPFLAGS) $(CPPFLAGS) $(SSE_CFLAGS) $(SANFLAGS) $(CFLAGS) \
	    -MMD -MP -c -o $@ $< 2>$@.said || { cat $@.said >&2; exit 1; }
	@cat $@.said >&2

# They run once.
$(builddir)/obj/t/unit/%.o: CFLAGS += -U_FORTIFY_SOURCE -O0

$(TOOL): $(builddir)/obj/support/sse_store.o $(LIB_OBJS)
	$(call say,LD $@)
	$(Q)$(CC) $(SANFLAGS) -Wl,-z,relro -Wl,-z,now $(LDFLAGS) -o $@ $^ \
	    $(APU_LIBS) $(APR_LIBS) -llmdb -lpthread $(LDLIBS)

need-apxs:
	@command -v $(APXS) >/dev/null || { echo >&2 "$(APXS) is missing:\
	 run 'make setup', or install Debian's apache2-dev"; exit 1; }

install: all
	@SO="$(SO)" TOOL="$(TOOL)" LIBEXECDIR="$(LIBEXECDIR)" \
	 BINDIR="$(BINDIR)" SBINDIR="$(SBINDIR)" INCLUDEDIR="$(INCLUDEDIR)" \
	 SYSCONFDIR="$(SYSCONFDIR)" CONFDIR="$(CONFDIR)" DESTDIR="$(DESTDIR)" \
	    scripts/install.sh

setup:
	@scripts/setup.sh $(SETS)

run:
	@scripts/setup.sh run
	@$(MAKE) --no-print-directory -s -j2 all
	@PORT="$(PORT)" scripts/run.sh

test:
	@scripts/setup.sh run test
	@MAKE="$(MAKE)" PORT="$(PORT)" FUZZ_SECONDS="$(FUZZ_SECONDS)" scripts/test.sh

# One Apache::Test run, in a directory of its own below build/check.
check: all seams
	@NAME="$(NAME)" MPM="$(MPM)" SAN="$(SAN)" TESTS="$(TESTS)" ARGS="$(ARGS)" WRAP="$(WRAP)" \
	 PORT="$(PORT)" APXS="$(APXS)" LIBEXECDIR="$(LIBEXECDIR)" CC="$(CC)" \
	 SSE_MODULE="$(CURDIR)/$(SO)" scripts/check.sh

# One test file, of whichever kind.  It shares no directory with "make check".
ONE_UNIT := $(patsubst t/unit/%.c,$(builddir)/unit/%,$(filter t/unit/%,$(T)))
check-one: all $(ONE_UNIT)
	@test -f "$(T)" || { echo "T=$(T) is not a test's file: for instance" \
	    "T=t/http/basic.t, T=t/unit/test_queue.c" >&2; exit 1; }
ifneq ($(ONE_UNIT),)
	@$(ONE_UNIT)
else ifneq ($(filter t/store/%.pl,$(T)),)
	@$(MAKE) --no-print-directory $(builddir)/unit/make_store
	@$(STORE_ENV) perl "$(T)"
else ifneq ($(filter %.pl,$(T)),)
	@$(CONF_ENV) perl "$(T)"
else
	@$(MAKE) --no-print-directory check TESTS="$(T)" ARGS="-verbose $(ARGS)" \
	    NAME=one
endif

VALGRIND = valgrind -q --leak-check=no --error-exitcode=0 \
           --suppressions=$(CURDIR)/t/san/valgrind.supp
check-valgrind:
	@scripts/setup.sh run test valgrind
	@APACHE_TEST_STARTUP_TIMEOUT=180 $(MAKE) --no-print-directory check \
	    WRAP="$(VALGRIND)" TESTS="$(or $(TESTS),t/http/basic.t)"

STORE_ENV = SSE_STORE_TOOL="$(CURDIR)/$(TOOL)" \
            SSE_MAKE_STORE="$(CURDIR)/$(builddir)/unit/make_store"
check-unit: $(UNIT_PROGS) $(TOOL) $(builddir)/unit/make_store
	@test -n "$(UNIT_PROGS)" || { echo "no unit tests" >&2; exit 1; }
	@$(STORE_ENV) prove -f -o --exec '' $(UNIT_PROGS) t/store/tool.pl

# With httpd's part played by the test.
$(builddir)/unit/test_counters: $(addprefix $(builddir)/obj/src/shared/,\
                               sse_counters.o sse_shared.o)

$(builddir)/unit/test_ended: $(addprefix $(builddir)/obj/src/,\
                            notify/sse_ended.o shared/sse_counters.o \
                            shared/sse_shared.o)

$(builddir)/unit/test_registry: $(builddir)/obj/src/notify/sse_registry.o

$(builddir)/unit/test_hook_json: \
    $(builddir)/obj/src/notify/webhook/sse_hook_json.o

$(builddir)/unit/test_workers: $(builddir)/obj/src/loop/sse_workers.o

$(builddir)/unit/test_exec_parser: $(addprefix $(builddir)/obj/src/exec/,\
                             sse_exec_parser.o sse_exec_lines.o \
                             sse_exec_blocks.o)

$(builddir)/unit/test_log: $(addprefix $(builddir)/obj/src/loop/,sse_log.o \
                             sse_workers.o)

$(builddir)/unit/%: $(builddir)/obj/t/unit/%.o $(UNIT_OBJS)
	$(call say,LD $@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SANFLAGS) -o $@ $^ $(APU_LIBS) $(APR_LIBS) -llmdb \
	    -ljansson -lcurl -lcrypto $(LIBUV) -lpthread

$(builddir)/unit/test_exec_shared: $(addprefix $(builddir)/obj/src/,\
    $(addprefix loop/sse_,epoll.o loop.o workers.o) \
    $(addprefix exec/sse_exec_,shared.o \
    shared_output.o intake.o output.o parser.o lines.o blocks.o))
$(builddir)/unit/test_exec_output: $(addprefix $(builddir)/obj/src/,\
    loop/sse_epoll.o exec/sse_exec_output.o exec/sse_exec_errors.o)
$(builddir)/unit/test_exec_client: $(addprefix $(builddir)/obj/src/,\
    loop/sse_epoll.o loop/sse_loop.o exec/sse_exec_client.o exec/sse_exec_link.o)
$(addprefix $(builddir)/unit/test_exec_,shared output client): LIBUV = -luv

# They have a loop and streams of their own.
$(filter $(builddir)/unit/test_hub_%,$(UNIT_PROGS)): \
    $(addprefix $(builddir)/obj/src/,hub/sse_hub.o hub/sse_members.o hub/sse_subscription.o \
        hub/sse_subscription_read.o hub/sse_subscription_change.o \
        hub/sse_start.o hub/sse_formats.o)

# Likewise.
$(builddir)/unit/test_presence: $(addprefix $(builddir)/obj/src/hub/sse_presence,\
    .o _claim.o _view.o _who.o)

# Configuration: what is accepted, what is refused and with which words, and
# whether code, reference file and manual name the same directives.
CONF_ENV = LIBEXECDIR="$(LIBEXECDIR)" SSE_MODULE="$(CURDIR)/$(SO)" \
           MAKE="$(MAKE)"
check-conf: all
	@test -n "$(CONF_TESTS)" || { echo "no configuration tests" >&2; exit 1; }
	@$(CONF_ENV) prove -f -o $(CONF_TESTS)

build/fuzz/%: t/unit/%.c $(wildcard src/event/*.[ch] t/unit/*_oracle.h) \
              Makefile | need-apxs
	$(call say,CC $@)
	@mkdir -p $(@D)
	$(Q)clang -std=gnu99 -g -O1 -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=undefined $(SSE_CPPFLAGS) -o $@ \
	    $(filter %.c,$^) $(APR_LIBS) -ljansson

check-fuzz: build/fuzz/fuzz_reader build/fuzz/fuzz_json
	@FUZZ_SECONDS="$(FUZZ_SECONDS)" prove -f -o --exec sh scripts/fuzz.sh

test-browser: all
	@scripts/browser.sh
	@PORT="$(PORT)" LIBEXECDIR="$(LIBEXECDIR)" prove -f -o --exec node \
	    t/browser/demo.mjs t/browser/examples.mjs t/browser/http2.mjs \
	    t/browser/shared.mjs t/browser/status.mjs

lint:
	@MAKE="$(MAKE)" SSE_CPPFLAGS="$(SSE_CPPFLAGS)" prove -f -o --exec sh \
	    scripts/lint.sh

# What loads a server in the benchmarks and in the soak, and what these two
# have inside of it.
HOOK_TARGET := t/client/hook_target.c
CLIENT_SRCS := $(filter-out $(HOOK_TARGET),$(wildcard t/client/*.c))
LOAD_SRCS   := $(sort $(wildcard bench/load*.c))
SOAK_SRCS   := $(sort $(filter-out %/mod_soak.c,$(wildcard t/soak/*.c)))
build/bench/load: $(LOAD_SRCS)
build/soak/soak: $(SOAK_SRCS)
build/bench/load: LOAD_LIBS := -lssl -lcrypto
build/bench/load build/soak/soak: $(CLIENT_SRCS) $(wildcard bench/*.h \
                                  t/client/*.h t/soak/*.h) Makefile
	$(call say,LD $@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu99 -D_GNU_SOURCE -g -O2 -I. $(WARNINGS) -o $@ \
	    $(filter %.c,$^) -lm $(LOAD_LIBS)

build/bench/hook_target: $(HOOK_TARGET) Makefile
	$(call say,LD $@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu99 -D_GNU_SOURCE -g -O2 $(WARNINGS) -o $@ $<

build/bench/mod_bench_close.so: bench/mod_bench_close.c
build/soak/mod_soak.so: t/soak/mod_soak.c
build/bench/mod_bench_close.so build/soak/mod_soak.so: mod_sse.h \
    $(wildcard bench/*.h t/soak/*.h) Makefile | need-apxs
	$(call say,CC $@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SSE_CPPFLAGS) $(SSE_CFLAGS) $(SSE_LDFLAGS) -o $@ \
	    $(filter %.c,$^)

# What the store costs by itself.
build/bench/store: $(builddir)/obj/bench/bench_store.o $(LIB_OBJS)
	$(call say,LD $@)
	@mkdir -p $(@D)
	$(Q)$(CC) -o $@ $^ $(APU_LIBS) $(APR_LIBS) -llmdb -lpthread

bench-store: build/bench/store
	@$<

bench bench-close: all build/bench/load build/bench/hook_target \
    build/bench/mod_bench_close.so
	@APXS="$(APXS)" LIBEXECDIR="$(LIBEXECDIR)" bench/run.sh \
	    $(if $(filter bench-close,$@),close,$(SCENARIOS))

soak: all build/soak/soak build/soak/mod_soak.so
	@APXS="$(APXS)" LIBEXECDIR="$(LIBEXECDIR)" PORT="$(PORT)" \
	 SOAK_SECONDS="$(SOAK_SECONDS)" SOAK_SEED="$(SOAK_SEED)" \
	 SOAK_SUBSCRIBERS="$(SOAK_SUBSCRIBERS)" SOAK_RATE="$(SOAK_RATE)" \
	 SOAK_PUBLISHERS="$(SOAK_PUBLISHERS)" \
	    prove -f -o --exec sh scripts/soak.sh

soak-hooks: all build/soak/mod_soak.so
	@APXS="$(APXS)" LIBEXECDIR="$(LIBEXECDIR)" PORT="$(PORT)" \
	 SOAK_SECONDS="$(SOAK_SECONDS)" SOAK_RATE="$(SOAK_RATE)" \
	    prove -f -o --exec sh scripts/soak_hooks.sh

soak-http2:
	@CHURN_SECONDS="$(or $(SOAK_SECONDS),600)" CHURN_SEED="$(SOAK_SEED)" \
	    $(MAKE) --no-print-directory check NAME=soak-http2 ARGS=-verbose \
	    TESTS=t/stream/splice_churn.t

clean:
	rm -rf build

-include $(OBJS:.o=.d) $(SEAM_OBJS:.o=.d) $(UNIT_SRCS:%.c=$(builddir)/obj/%.d) \
    $(builddir)/obj/support/sse_store.d $(builddir)/obj/t/unit/make_store.d

.PHONY: all install setup run test check check-one check-valgrind check-unit \
        check-conf check-fuzz test-browser lint bench bench-close \
        bench-store soak soak-hooks soak-http2 seams clean need-apxs
.SECONDARY:
