    # the guests that are always there: the files that rvhv/images ships, without debug information
    .macro image name
    .balign 16
    .globl \name\()_elf, \name\()_elf_end
\name\()_elf:
    .incbin "\name\().elf"
\name\()_elf_end:
    .endm

    .section .rodata.images, "a", @progbits
    image hello
    image tasks
