# how C becomes an image, for guests/ and bench/. the including Makefile says first: FOLDER (its name in messages and in the
# images), ZIG_CPU, MARCH and MABI (the instructions that may be used), and then lists what is linked from what.

TOOLCHAIN := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
PYTHON ?= python3
# make V=1 shows the commands
QUIET := $(if $(V),,@)

# a CC from the environment or make's own default is the host's compiler: only the command line counts
ifneq ($(origin CC),command line)
CC := $(PYTHON) -m ziglang cc
endif

ifneq ($(findstring zig,$(CC)),)
ARCH := -target riscv64-freestanding-none -mcpu=$(ZIG_CPU)
# zig hands absolute paths to the compiler: name the sources and zig's own headers the same everywhere
BUILD ?= build/zig
ZIG_HOME := $(shell $(PYTHON) -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))' 2>/dev/null)
REPRODUCIBLE = -ffile-prefix-map=$(CURDIR)=$(FOLDER) $(if $(ZIG_HOME),-ffile-prefix-map=$(ZIG_HOME)=zig)
LINK = $(PYTHON) -m ziglang ld.lld -m elf64lriscv $(LDFLAGS) -T $(1)
export ZIG_LOCAL_CACHE_DIR := $(abspath $(BUILD))/zig-cache
export ZIG_GLOBAL_CACHE_DIR := $(abspath $(BUILD))/zig-cache
IMAGES ?= ../rvhv/images
COMPILER_CHECK := pinned
else
BUILD ?= build/$(notdir $(firstword $(CC)))
ifneq ($(findstring clang,$(CC)),)
ARCH := --target=riscv64-unknown-elf
USE_LLD := -fuse-ld=lld
endif
ARCH += -march=$(MARCH)
REPRODUCIBLE = -ffile-prefix-map=$(CURDIR)=$(FOLDER)
empty :=
comma := ,
LINK = $(CC) $(ARCH) $(USE_LLD) -mabi=$(MABI) -nostdlib -static $(subst $(empty) ,$(comma),-Wl $(LDFLAGS) -T $(1))
IMAGES ?= $(BUILD)/images
endif

CFLAGS := -std=c11 -O2 $(or $(DEBUG),-g0) -Wall -Wextra -Werror -ffreestanding -fno-builtin -fno-common -fno-pic -fno-stack-protector \
          -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections -mabi=$(MABI) -mcmodel=medany -Iruntime
# -X: symbols, but not the compiler's temporary ones
LDFLAGS := --gc-sections --build-id=none -X -z max-page-size=4096

HEADERS := $(wildcard */*.h */*/*.h)
# sorted: the order of linking must not depend on the file system
objects = $(patsubst %,$(BUILD)/%.o,$(sort $(wildcard $(1)/*.c $(1)/*.S)))
RUNTIME := $(call objects,runtime)

.DEFAULT_GOAL := all
.PHONY: all check clean pinned
.SECONDEXPANSION:
.SECONDARY:

$(BUILD)/%.o: % $(HEADERS) Makefile $(TOOLCHAIN)/toolchain.mk | $(COMPILER_CHECK)
	@mkdir -p $(@D)
	@echo "  compile $<"
	$(QUIET)$(CC) $(ARCH) $(CFLAGS) $(REPRODUCIBLE) -c -o $@ $<

# other versions of the compiler build working images, but not the same bytes
pinned:
	@want=$$(sed -n 's/^ziglang==//p' $(TOOLCHAIN)/requirements.txt); have=$$($(PYTHON) -m ziglang version 2>/dev/null); \
	test "$$want" = "$$have" || { echo "$(FOLDER): ziglang $$want is needed, $${have:-none} found:" \
	"$(PYTHON) -m pip install -r guests/requirements.txt" >&2; exit 1; }

# $(1): the images by name
compare = tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && \
	$(MAKE) --no-print-directory BUILD="$$tmp" IMAGES="$$tmp/images" all && \
	for image in $(1); do cmp "$$tmp/images/$$image.elf" "../rvhv/images/$$image.elf" || exit 1; done && \
	echo "$(FOLDER): the images are what the sources build"

clean:
	rm -rf build
