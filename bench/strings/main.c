/* struct and string work: a table of records found by name, copied, formatted, parsed and sorted */
#include "runtime.h"

#define RECORDS 256
#define BUCKETS 64
#define LOOKUPS 512
#define NAME 24

const char bench_name[] = "strings";
const uint64_t bench_rounds = 750;
const uint64_t bench_expected = 0x75b66790;

struct point {
    int32_t x, y;
};
struct record {
    struct record *next; /* in its bucket */
    char name[NAME];
    struct point at;
    uint32_t id, found;
};

static struct record records[RECORDS], *buckets[BUCKETS], *order[RECORDS];
static char line[128];

static size_t append(char *to, const char *from) {
    size_t n = 0;
    while ((to[n] = from[n]) != '\0')
        n++;
    return n;
}

static size_t append_number(char *to, int32_t number) {
    char digits[12], *at = digits + 11;
    size_t n = 0;
    uint32_t rest = number < 0 ? -(uint32_t)number : (uint32_t)number;
    *at = '\0';
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        to[n++] = '-';
    return n + append(to + n, at);
}

static int32_t parse_number(const char **text) {
    bool negative = **text == '-';
    uint32_t number = 0;
    if (negative)
        ++*text;
    for (; **text >= '0' && **text <= '9'; ++*text)
        number = number * 10 + (uint32_t)(**text - '0');
    return (int32_t)(negative ? -number : number);
}

/* two to five syllables and a number: names that differ late */
static void make_name(char *name, uint32_t *seed) {
    static const char syllables[16][4] = {"ka", "lo", "mi", "ren", "ta", "shu", "vo", "el",
                                          "dra", "ni", "sol", "qua", "be", "or", "un", "ith"};
    size_t n = 0;
    for (uint32_t left = 2 + lcg(seed) % 4; left > 0; left--)
        n += append(name + n, syllables[lcg(seed) % 16]);
    append_number(name + n, (int32_t)(lcg(seed) % 100));
}

static uint32_t hash(const char *name) {
    uint32_t hash = 2166136261; /* FNV-1a */
    while (*name != '\0')
        hash = (hash ^ (uint8_t)*name++) * 16777619;
    return hash;
}

static struct record *find(const char *name) {
    struct record *record = buckets[hash(name) % BUCKETS];
    while (record != NULL && strcmp(record->name, name) != 0)
        record = record->next;
    return record;
}

static void insert(uint32_t id, uint32_t *seed) {
    struct record *record = &records[id];
    memset(record, 0, sizeof *record);
    make_name(record->name, seed);
    record->id = id;
    record->at = (struct point){(int32_t)(lcg(seed) % 20001) - 10000, (int32_t)(lcg(seed) % 20001) - 10000};
    struct record **bucket = &buckets[hash(record->name) % BUCKETS];
    record->next = *bucket;
    *bucket = record;
}

/* what is found by its name changes: it is written as text, read back and moved to where it points */
static uint32_t look_up(uint32_t *seed) {
    struct record *record = find(records[lcg(seed) % RECORDS].name), copy = *record;
    size_t n = append(line, copy.name);
    n += append(line + n, " ");
    n += append_number(line + n, copy.at.x);
    n += append(line + n, ",");
    append_number(line + n, copy.at.y);
    const char *text = line;
    while (*text++ != ' ')
        ;
    copy.at.x = parse_number(&text) / 2 + (int32_t)copy.id;
    text++;
    copy.at.y = parse_number(&text) - copy.at.x;
    copy.found++;
    *record = copy;
    return hash(line);
}

static void sort(void) {
    for (int i = 0; i < RECORDS; i++)
        order[i] = &records[i];
    for (int gap = RECORDS / 2; gap > 0; gap /= 2)
        for (int i = gap; i < RECORDS; i++) {
            struct record *record = order[i];
            int j = i;
            for (; j >= gap; j -= gap) {
                int difference = strcmp(order[j - gap]->name, record->name);
                if (difference < 0 || (difference == 0 && order[j - gap]->id < record->id))
                    break;
                order[j] = order[j - gap];
            }
            order[j] = record;
        }
}

uint64_t bench_round(void) {
    uint32_t seed = 7, crc = 0;
    memset(buckets, 0, sizeof buckets);
    for (uint32_t i = 0; i < RECORDS; i++)
        insert(i, &seed);
    for (int i = 0; i < LOOKUPS; i++) {
        uint32_t hashed = look_up(&seed);
        crc = crc32(crc, &hashed, sizeof hashed);
    }
    sort();
    for (int i = 0; i < RECORDS; i++)
        crc = crc32(crc, &order[i]->at, sizeof order[i]->at + sizeof order[i]->id + sizeof order[i]->found);
    return crc;
}
