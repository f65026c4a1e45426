/* tasks: a small kernel. three tasks in U-mode, each in an address space of its own, share the hart by a timer */
#include <stdbool.h>

#include "console.h"
#include "guest.h"
#include "memory.h"
#include "paging.h"
#include "riscv.h"
#include "sbi.h"
#include "tasks.h"
#include "trap.h"

/* a time slice, in ticks of the time base: 100 us at 10 MHz */
#define SLICE_TICKS 1000

/* addresses of Sv39's lower half: 2^38 bytes */
#define USER_LIMIT (1UL << 38)

enum state { READY, DONE, KILLED };

static struct task {
    struct trap_frame frame;
    pte_t *root;
    void (*program)(uint8_t *data);
    uint64_t expected, result, preemptions;
    enum state state;
} tasks[] = {
    {.program = user_primes, .expected = 9592},
    {.program = user_checksum, .expected = 0x52c975fa},
    {.program = user_fibonacci, .expected = 918091266},
};

#define TASK_COUNT (sizeof tasks / sizeof tasks[0])

static struct task *current;

static void map_range(pte_t *root, const char *start, const char *end, uint64_t flags) {
    page_map(root, (uint64_t)start, (uint64_t)start, (uint64_t)(end - start), flags);
}

/* the kernel lives in every address space, at the addresses it was linked at; only user.c's pages have U */
static void map_kernel(pte_t *root) {
    map_range(root, _image_start, _rodata_start, PTE_R | PTE_X | PTE_G);
    map_range(root, _rodata_start, _data_start, PTE_R | PTE_G);
    map_range(root, _data_start, _image_end, PTE_R | PTE_W | PTE_G);
    map_range(root, _user_text_start, _user_text_end, PTE_R | PTE_X | PTE_U);
    map_range(root, _user_rodata_start, _user_rodata_end, PTE_R | PTE_U);
}

static void map_private(pte_t *root, uint64_t gva, uint64_t pages) {
    for (uint64_t i = 0; i < pages; i++)
        page_map(root, gva + i * PAGE_SIZE, (uint64_t)page_alloc(), PAGE_SIZE, PTE_R | PTE_W | PTE_U);
}

static void create(struct task *task) {
    task->root = page_alloc();
    map_kernel(task->root);
    map_private(task->root, USER_DATA, USER_DATA_PAGES);
    map_private(task->root, USER_STACK_TOP - USER_STACK_PAGES * PAGE_SIZE, USER_STACK_PAGES);
    task->frame.sepc = (uint64_t)task->program;
    task->frame.x[SP] = USER_STACK_TOP;
    task->frame.x[A0] = USER_DATA;
    /* sret: to U-mode, with interrupts on */
    task->frame.sstatus = (csr_read(sstatus) & ~(uint64_t)SSTATUS_SPP) | SSTATUS_SPIE;
}

static _Noreturn void finish(void) {
    bool correct = true, preempted = true;
    for (uint64_t i = 0; i < TASK_COUNT; i++) {
        struct task *task = &tasks[i];
        if (task->state != DONE || task->result != task->expected) {
            printf("task %lu: wrong: %lu instead of %lu\n", i, task->result, task->expected);
            correct = false;
        }
        preempted = preempted && task->preemptions > 0;
    }
    printf("the timer preempted %s\n", preempted ? "every task" : "not every task");
    printf("tasks: %s\n", correct ? "all results correct" : "failed");
    sbi_power_off(correct && preempted ? SRST_REASON_NONE : SRST_REASON_FAILURE);
}

/* round robin */
static struct trap_frame *run_next(void) {
    for (uint64_t i = 1; i <= TASK_COUNT; i++) {
        struct task *task = &tasks[((uint64_t)(current - tasks) + i) % TASK_COUNT];
        if (task->state != READY)
            continue;
        current = task;
        csr_write(satp, satp_of(task->root));
        sfence_vma();
        sbi_set_timer(rdtime() + SLICE_TICKS);
        return &task->frame;
    }
    finish();
}

static bool readable(uint64_t gva, uint64_t length) {
    if (length > PRINT_MAX || gva >= USER_LIMIT)
        return false;
    for (uint64_t at = gva & ~(PAGE_SIZE - 1); at < gva + length; at += PAGE_SIZE)
        if ((page_walk(current->root, at) & (PTE_U | PTE_R)) != (PTE_U | PTE_R))
            return false;
    return true;
}

static uint64_t sys_print(uint64_t text, uint64_t length) {
    char copy[PRINT_MAX];
    if (!readable(text, length))
        return SYS_ERROR;
    /* the kernel may touch pages of U-mode only while it says so */
    csr_set(sstatus, SSTATUS_SUM);
    memcpy(copy, (const char *)text, length);
    csr_clear(sstatus, SSTATUS_SUM);
    console_write(copy, length);
    return length;
}

static struct trap_frame *syscall(struct trap_frame *frame) {
    frame->sepc += 4; /* past the ecall */
    switch (frame->x[A7]) {
    case SYS_GETPID:
        frame->x[A0] = (uint64_t)(current - tasks);
        return frame;
    case SYS_YIELD:
        frame->x[A0] = 0;
        return run_next();
    case SYS_PRINT:
        frame->x[A0] = sys_print(frame->x[A0], frame->x[A1]);
        return frame;
    case SYS_EXIT:
        current->result = frame->x[A0];
        current->state = DONE;
        return run_next();
    default:
        frame->x[A0] = SYS_ERROR;
        return frame;
    }
}

struct trap_frame *on_trap(struct trap_frame *frame) {
    uint64_t scause = csr_read(scause);
    if (frame->sstatus & SSTATUS_SPP) {
        printf("the kernel trapped: %s, sepc %#lx, stval %#lx\n", cause_name(scause), frame->sepc, csr_read(stval));
        sbi_power_off(SRST_REASON_FAILURE);
    }
    if (scause == (SCAUSE_INTERRUPT | IRQ_S_TIMER)) {
        current->preemptions++;
        return run_next();
    }
    if (scause == CAUSE_ECALL_U)
        return syscall(frame);

    printf("task %lu killed: %s, sepc %#lx, stval %#lx\n", (uint64_t)(current - tasks), cause_name(scause), frame->sepc,
           csr_read(stval));
    current->state = KILLED;
    return run_next();
}

int guest_main(uint64_t hartid, const void *fdt) {
    (void)hartid, (void)fdt;
    printf("tasks: %lu tasks in U-mode, time slice %u ticks\n", TASK_COUNT, SLICE_TICKS);
    for (uint64_t i = 0; i < TASK_COUNT; i++)
        create(&tasks[i]);
    csr_set(sie, SIE_STIE);
    current = &tasks[TASK_COUNT - 1]; /* so that the first task is next */
    trap_resume(run_next());
}
