/* an integer mix: a linked list (search, reverse, sort), matrices, a state machine over text, and a CRC of it all */
#include "runtime.h"

#define NODES 256
#define SEARCHES 32
#define SIDE 20
#define TEXT 2048
#define PASSES 3

const char bench_name[] = "integer";
const uint64_t bench_rounds = 1800;
const uint64_t bench_expected = 0xc63dd670;

struct node {
    struct node *next;
    uint32_t value, index;
};

static struct node nodes[NODES];
static uint32_t left[SIDE][SIDE], right[SIDE][SIDE], product[SIDE][SIDE];
static char text[TEXT];

/* found by value, then moved to the front by reversing; the sum of the places where they were */
static uint32_t search_list(struct node **list, uint32_t *seed) {
    uint32_t sum = 0;
    for (int i = 0; i < SEARCHES; i++) {
        uint32_t value = nodes[lcg(seed) % NODES].value, place = 0;
        struct node *node = *list, *reversed = NULL;
        for (; node->value != value; node = node->next)
            place++;
        sum = sum * 31 + place;
        while (*list != NULL) {
            struct node *next = (*list)->next;
            (*list)->next = reversed;
            reversed = *list;
            *list = next;
        }
        *list = reversed;
    }
    return sum;
}

/* by value, then by index: bottom-up, without recursion */
static struct node *sort_list(struct node *list) {
    for (uint32_t width = 1;; width *= 2) {
        struct node *rest = list, *sorted = NULL, **tail = &sorted;
        uint32_t merges = 0;
        while (rest != NULL) {
            struct node *a = rest, *b = rest;
            uint32_t a_left = 0, b_left = width;
            merges++;
            while (b != NULL && a_left < width) {
                b = b->next;
                a_left++;
            }
            while (a_left > 0 || (b_left > 0 && b != NULL)) {
                bool from_a = a_left > 0 && (b_left == 0 || b == NULL || a->value < b->value ||
                                             (a->value == b->value && a->index < b->index));
                struct node **from = from_a ? &a : &b;
                *tail = *from;
                tail = &(*from)->next;
                *from = (*from)->next;
                if (from_a)
                    a_left--;
                else
                    b_left--;
            }
            rest = b;
        }
        *tail = NULL;
        list = sorted;
        if (merges <= 1)
            return list;
    }
}

static uint32_t run_list(uint32_t crc, uint32_t *seed) {
    struct node *list = NULL;
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[i] = (struct node){list, lcg(seed) & 0xfff, i};
        list = &nodes[i];
    }
    uint32_t sum = search_list(&list, seed);
    crc = crc32(crc, &sum, sizeof sum);
    for (struct node *node = sort_list(list); node != NULL; node = node->next)
        crc = crc32(crc, &node->value, sizeof node->value + sizeof node->index);
    return crc;
}

static uint32_t run_matrix(uint32_t crc, uint32_t *seed) {
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            left[i][j] = lcg(seed);
            right[i][j] = lcg(seed);
        }
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            uint32_t sum = 0;
            for (int k = 0; k < SIDE; k++)
                sum += left[i][k] * right[k][j];
            product[i][j] = sum;
        }
    return crc32(crc, product, sizeof product);
}

/* numbers like 12, -3.5 and +4e-7, separated by commas */
enum state { START, SIGNED, INTEGER, POINT, FRACTION, E, E_SIGNED, EXPONENT, INVALID, STATES };

static enum state step(enum state state, char c) {
    bool digit = c >= '0' && c <= '9';
    switch (state) {
    case START:
        return digit ? INTEGER : c == '+' || c == '-' ? SIGNED : c == '.' ? POINT : INVALID;
    case SIGNED:
        return digit ? INTEGER : c == '.' ? POINT : INVALID;
    case INTEGER:
        return digit ? INTEGER : c == '.' ? FRACTION : c == 'e' ? E : INVALID;
    case POINT:
        return digit ? FRACTION : INVALID;
    case FRACTION:
        return digit ? FRACTION : c == 'e' ? E : INVALID;
    case E:
        return digit ? EXPONENT : c == '+' || c == '-' ? E_SIGNED : INVALID;
    case E_SIGNED:
    case EXPONENT:
        return digit ? EXPONENT : INVALID;
    default:
        return INVALID;
    }
}

static uint32_t run_states(uint32_t crc, uint32_t *seed) {
    uint32_t ends[STATES] = {0}, visits[STATES] = {0};
    for (int i = 0; i < TEXT; i++)
        text[i] = "0123456789,,,+-.e0123,9.8e4-51+2"[lcg(seed) % 32];
    for (int pass = 0; pass < PASSES; pass++) {
        enum state state = START;
        for (int i = 0; i < TEXT; i++) {
            if (text[i] == ',') {
                ends[state]++;
                state = START;
            } else {
                state = step(state, text[i]);
                visits[state]++;
            }
            if (i % 64 == 63)
                text[i] ^= 1; /* the next pass reads another text */
        }
    }
    crc = crc32(crc, ends, sizeof ends);
    return crc32(crc, visits, sizeof visits);
}

uint64_t bench_round(void) {
    uint32_t seed = 1, crc = 0;
    crc = run_list(crc, &seed);
    crc = run_matrix(crc, &seed);
    return run_states(crc, &seed);
}
