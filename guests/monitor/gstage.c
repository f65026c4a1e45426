#include "gstage.h"

#include "frames.h"
#include "registers.h"

#define LEVELS 3
#define ROOT_FRAMES 4 /* norm:hgatp_mode_x4: the root is 16 KiB, at a 16 KiB boundary */
#define ENTRIES 512
#define GPA_BITS 41
#define PTE_PPN_MASK ((1UL << 44) - 1)

/* norm:H_vm_gpatrans: U is checked as though in U-mode; A and D are set so that no access needs an update */
#define FLAGS (PTE_V | PTE_U | PTE_A | PTE_D)
#define RIGHTS (PTE_R | PTE_W | PTE_X)
#define LEAF (FLAGS | RIGHTS)

typedef uint64_t pte_t;

/* the index into the table of `level`; the root's has two bits more (norm:hgatp_mode_sv39x4) */
static uint64_t vpn(uint64_t gpa, int level) {
    return gpa >> (PAGE_SHIFT + 9 * level) & (level == LEVELS - 1 ? 4 * ENTRIES - 1 : ENTRIES - 1);
}

/* bytes that a leaf of `level` maps */
static uint64_t block(int level) { return PAGE_SIZE << 9 * level; }

static bool is_leaf(pte_t pte) { return pte & (PTE_R | PTE_X); }

static uint64_t target(pte_t pte) { return (pte >> PTE_PPN_SHIFT & PTE_PPN_MASK) << PAGE_SHIFT; }

static pte_t pte_to(uint64_t spa, uint64_t bits) { return spa >> PAGE_SHIFT << PTE_PPN_SHIFT | bits; }

bool gstage_init(struct gstage *gstage) {
    gstage->root = frames_alloc(ROOT_FRAMES, ROOT_FRAMES);
    return gstage->root != 0;
}

/* the PTE of `gpa` in the table of `*level`, or a leaf above it, whose level it becomes; or 0; with `make` tables on the way are
 * made */
static pte_t *find_slot(const struct gstage *gstage, uint64_t gpa, int *level, bool make) {
    pte_t *table = (pte_t *)gstage->root;
    for (int above = LEVELS - 1; above > *level; above--) {
        pte_t *slot = &table[vpn(gpa, above)];
        if (is_leaf(*slot)) {
            *level = above;
            return slot;
        }
        if (!(*slot & PTE_V)) {
            uint64_t spa = make ? frames_alloc(1, 1) : 0;
            if (spa == 0)
                return 0;
            *slot = pte_to(spa, PTE_V);
        }
        table = (pte_t *)target(*slot);
    }
    return &table[vpn(gpa, *level)];
}

uint64_t gstage_map(struct gstage *gstage, uint64_t gpa) {
    int level = 0;
    pte_t *slot = find_slot(gstage, gpa, &level, true);
    if (slot != 0 && !(*slot & PTE_V)) {
        uint64_t spa = frames_alloc(1, 1);
        if (spa == 0)
            return 0;
        *slot = pte_to(spa, LEAF);
        gstage_fence_page(gpa);
    }
    return slot != 0 ? target(*slot) + gpa % block(level) / PAGE_SIZE * PAGE_SIZE : 0;
}

uint64_t gstage_frame(const struct gstage *gstage, uint64_t gpa) {
    int level = 0;
    pte_t *slot = find_slot(gstage, gpa, &level, false);
    return slot != 0 && *slot & PTE_V ? target(*slot) + gpa % block(level) / PAGE_SIZE * PAGE_SIZE : 0;
}

bool gstage_map_range(struct gstage *gstage, uint64_t gpa, uint64_t spa, uint64_t size, uint64_t rights) {
    uint64_t end = gpa + size;
    while (gpa < end) {
        int level = LEVELS - 1;
        while ((gpa | spa) % block(level) != 0 || gpa + block(level) > end)
            level--;
        pte_t *slot = find_slot(gstage, gpa, &level, true);
        while (slot != 0 && *slot & PTE_V) { /* a table of pages that were there once */
            level--;
            slot = find_slot(gstage, gpa, &level, true);
        }
        if (slot == 0)
            return false;
        *slot = pte_to(spa, FLAGS | (rights & RIGHTS));
        gpa += block(level);
        spa += block(level);
    }
    return true;
}

/* puts a table of 512 smaller leaves in the place of a superpage, with the same rights */
static bool split(pte_t *slot, uint64_t gpa, int level) {
    pte_t *table = (pte_t *)frames_alloc(1, 1);
    if (table == 0)
        return false;
    for (uint64_t i = 0; i < ENTRIES; i++)
        table[i] = pte_to(target(*slot) + i * block(level - 1), *slot & LEAF);
    *slot = pte_to((uint64_t)table, PTE_V);
    gstage_fence_page(gpa);
    return true;
}

/* does `change` with each leaf of a range, after superpages that reach out of it were split */
static bool each_leaf(struct gstage *gstage, uint64_t gpa, uint64_t size, uint64_t rights,
                      void (*change)(pte_t *slot, uint64_t gpa, int level, uint64_t rights)) {
    uint64_t end = gpa + size;
    while (gpa < end) {
        int level = 0;
        pte_t *slot = find_slot(gstage, gpa, &level, false);
        if (slot == 0 || !(*slot & PTE_V)) {
            gpa += PAGE_SIZE;
        } else if (gpa % block(level) != 0 || gpa + block(level) > end) {
            if (!split(slot, gpa, level))
                return false;
        } else {
            change(slot, gpa, level, rights);
            gpa += block(level);
        }
    }
    return true;
}

static void remove_leaf(pte_t *slot, uint64_t gpa, int level, uint64_t rights) {
    (void)rights;
    uint64_t spa = target(*slot);
    *slot = 0;
    gstage_fence_page(gpa); /* and only then may its frames become another's */
    frames_free(spa, block(level) / PAGE_SIZE);
}

static void change_rights(pte_t *slot, uint64_t gpa, int level, uint64_t rights) {
    (void)level;
    *slot = pte_to(target(*slot), FLAGS | (rights & RIGHTS));
    gstage_fence_page(gpa);
}

bool gstage_unmap(struct gstage *gstage, uint64_t gpa, uint64_t size) {
    return each_leaf(gstage, gpa, size, 0, remove_leaf);
}

bool gstage_protect(struct gstage *gstage, uint64_t gpa, uint64_t size, uint64_t rights) {
    return each_leaf(gstage, gpa, size, rights, change_rights);
}

static const char *leaf_refusal(pte_t pte, int level, enum access access) {
    if (!(pte & PTE_U))
        return "U=0: the G-stage checks every access as though from U-mode";
    if (access == READ && !(pte & PTE_R))
        return "R=0";
    if (access == WRITE && !(pte & PTE_W))
        return "W=0";
    if (access == EXECUTE && !(pte & PTE_X))
        return "X=0";
    if (pte >> PTE_PPN_SHIFT & ((1UL << 9 * level) - 1))
        return "the superpage is misaligned";
    if (!(pte & PTE_A))
        return "A=0 and the hart does not set it";
    if (access == WRITE && !(pte & PTE_D))
        return "D=0 and the hart does not set it";
    return 0;
}

const char *gstage_refusal(const struct gstage *gstage, uint64_t gpa, enum access access) {
    if (gpa >> GPA_BITS)
        return "bits 63:41 of the guest physical address are not all zero";
    const pte_t *table = (const pte_t *)gstage->root;
    for (int level = LEVELS - 1; level >= 0; level--) {
        pte_t pte = table[vpn(gpa, level)];
        if (!(pte & PTE_V))
            return "V=0 in one of its PTEs";
        if (pte & PTE_W && !(pte & PTE_R))
            return "W=1 with R=0 is reserved";
        if (pte & (PTE_R | PTE_X))
            return leaf_refusal(pte, level, access);
        if (pte & (PTE_U | PTE_A | PTE_D))
            return "U, A or D is set in a PTE that is no leaf";
        table = (const pte_t *)target(pte);
    }
    return "its level 0 PTE is no leaf (R=0 and X=0)";
}

static void release_table(uint64_t table, int level) {
    uint64_t entries = level == LEVELS - 1 ? 4 * ENTRIES : ENTRIES;
    for (uint64_t i = 0; i < entries; i++) {
        pte_t pte = ((pte_t *)table)[i];
        if (!(pte & PTE_V))
            continue;
        if (is_leaf(pte))
            frames_free(target(pte), block(level) / PAGE_SIZE);
        else
            release_table(target(pte), level - 1);
    }
    frames_free(table, level == LEVELS - 1 ? ROOT_FRAMES : 1);
}

void gstage_release(struct gstage *gstage) {
    release_table(gstage->root, LEVELS - 1);
    gstage->root = 0;
    gstage_fence(); /* the frames may become anything */
}

uint64_t gstage_hgatp(const struct gstage *gstage, uint64_t vmid) {
    return HGATP_SV39X4 | vmid << HGATP_VMID_SHIFT | gstage->root >> PAGE_SHIFT;
}

/* norm:hgatp_vmid: a hart may have no VMID bits at all; an hgatp that was never used can be tried out */
bool gstage_has_vmids(void) {
    static enum { UNKNOWN, NO, YES } known;
    if (known == UNKNOWN) {
        uint64_t before = csr_read(hgatp);
        csr_write(hgatp, before | HGATP_VMID);
        known = csr_read(hgatp) & HGATP_VMID ? YES : NO;
        csr_write(hgatp, before);
    }
    return known == YES;
}

/* spelled as bits, because assemblers know the names only when told that the target has H */
void gstage_fence(void) { __asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0" : : : "memory"); }

void gstage_fence_page(uint64_t gpa) {
    __asm__ volatile(".insn r 0x73, 0, 0x31, x0, %0, x0" : : "r"(gpa >> 2) : "memory");
}
