/* broken-page: a kernel with one task that sums an array, and one wrong bit in a page table. find it with rvhv debug */
#include "broken.h"

#include "console.h"
#include "guest.h"
#include "paging.h"
#include "riscv.h"
#include "sbi.h"
#include "trap.h"

/* between two scans for idle pages, in ticks of the time base: 100 us at 10 MHz */
#define SCAN_TICKS 1000

static struct trap_frame task;
static pte_t *root;
static uint64_t scans;

static void map_range(const char *start, const char *end, uint64_t flags) {
    page_map(root, (uint64_t)start, (uint64_t)start, (uint64_t)(end - start), flags);
}

static void map_everything(void) {
    root = page_alloc();
    map_range(_image_start, _rodata_start, PTE_R | PTE_X | PTE_G);
    map_range(_rodata_start, _data_start, PTE_R | PTE_G);
    map_range(_data_start, _image_end, PTE_R | PTE_W | PTE_G);
    map_range(_user_text_start, _user_text_end, PTE_R | PTE_X | PTE_U);
    map_range(_user_rodata_start, _user_rodata_end, PTE_R | PTE_U);
    for (uint64_t page = 0; page < ARRAY_PAGES; page++)
        page_map(root, ARRAY + page * PAGE_SIZE, (uint64_t)page_alloc(), PAGE_SIZE, PTE_R | PTE_W | PTE_U);
    page_map(root, STACK_TOP - PAGE_SIZE, (uint64_t)page_alloc(), PAGE_SIZE, PTE_R | PTE_W | PTE_U);
}

/* the last-level entry of a page of the array; the tables are mapped where they are */
static pte_t *entry_of(uint64_t gva) {
    pte_t *table = root;
    for (int level = SV39_LEVELS - 1; level > 0; level--) {
        pte_t pointer = table[gva >> (PAGE_SHIFT + SV39_INDEX_BITS * level) & ((1UL << SV39_INDEX_BITS) - 1)];
        table = (pte_t *)(pointer >> PTE_PPN_SHIFT << PAGE_SHIFT);
    }
    return &table[gva >> PAGE_SHIFT & ((1UL << SV39_INDEX_BITS) - 1)];
}

/* one page a scan, once the task is well under way */
static bool is_idle(uint64_t page) { return scans >= 3 && page == scans * 5 % ARRAY_PAGES; }

/* forget that idle pages were written to, as a kernel does once it has saved them */
static void scan(void) {
    for (uint64_t page = 0; page < ARRAY_PAGES; page++) {
        if (is_idle(page))
            *entry_of(ARRAY + page * PAGE_SIZE) &= ~(pte_t)(1 << 2); /* clear D */
    }
    scans++;
    sfence_vma();
    sbi_set_timer(rdtime() + SCAN_TICKS);
}

struct trap_frame *on_trap(struct trap_frame *frame) {
    uint64_t scause = csr_read(scause);
    if (scause == (SCAUSE_INTERRUPT | IRQ_S_TIMER)) {
        scan();
        return frame;
    }
    if (scause == CAUSE_ECALL_U) {
        bool correct = frame->x[A0] == ARRAY_SUM;
        printf("broken-page: the sum is %lu, %s\n", frame->x[A0], correct ? "as it should be" : "which is wrong");
        sbi_power_off(correct ? SRST_REASON_NONE : SRST_REASON_FAILURE);
    }
    printf("broken-page: the task was killed: %s, sepc %#lx, stval %#lx\n", cause_name(scause), frame->sepc,
           csr_read(stval));
    sbi_power_off(SRST_REASON_FAILURE);
}

int guest_main(uint64_t hartid, const void *fdt) {
    (void)hartid, (void)fdt;
    printf("broken-page: a task sums %u pages of numbers\n", ARRAY_PAGES);
    map_everything();
    csr_write(satp, satp_of(root));
    sfence_vma();
    task.sepc = (uint64_t)user_sum;
    task.x[SP] = STACK_TOP;
    task.x[A0] = ARRAY;
    task.sstatus = (csr_read(sstatus) & ~(uint64_t)SSTATUS_SPP) | SSTATUS_SPIE;
    csr_set(sie, SIE_STIE);
    sbi_set_timer(rdtime() + SCAN_TICKS);
    trap_resume(&task);
}
