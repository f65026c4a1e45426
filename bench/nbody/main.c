/* n-body: five bodies under gravity, in double precision. additions, multiplications, a square root and a division a pair */
#include "runtime.h"

#define BODIES 5
#define STEPS 1000

const char bench_name[] = "nbody";
const uint64_t bench_rounds = 400;
const uint64_t bench_expected = 0x9401e5cb690ebdb4;

struct body {
    double x, y, z, vx, vy, vz, mass;
};

static struct body bodies[BODIES];

static void place(void) {
    for (int i = 0; i < BODIES; i++) {
        double n = i;
        bodies[i] = (struct body){3 * n, n * n - 4, 1 - n / 2, n / 8, (2 - n) / 16, n / 64, i == 0 ? 40 : 1 / (n + 1)};
    }
}

static void step(double dt) {
    for (int i = 0; i < BODIES; i++) {
        struct body *a = &bodies[i];
        for (int j = i + 1; j < BODIES; j++) {
            struct body *b = &bodies[j];
            double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
            double square = dx * dx + dy * dy + dz * dz;
            double pull = dt / (square * __builtin_sqrt(square));
            double by_a = a->mass * pull, by_b = b->mass * pull;
            a->vx -= dx * by_b;
            a->vy -= dy * by_b;
            a->vz -= dz * by_b;
            b->vx += dx * by_a;
            b->vy += dy * by_a;
            b->vz += dz * by_a;
        }
    }
    for (int i = 0; i < BODIES; i++) {
        struct body *a = &bodies[i];
        a->x += dt * a->vx;
        a->y += dt * a->vy;
        a->z += dt * a->vz;
    }
}

static uint64_t bits(double number) {
    union {
        double number;
        uint64_t bits;
    } as = {number};
    return as.bits;
}

uint64_t bench_round(void) {
    uint64_t sum = 0;
    place();
    for (int i = 0; i < STEPS; i++)
        step(0.01);
    for (int i = 0; i < BODIES; i++)
        sum = (sum ^ bits(bodies[i].x) ^ bits(bodies[i].y)) * 0x9e3779b97f4a7c15 + bits(bodies[i].vz);
    return sum;
}
