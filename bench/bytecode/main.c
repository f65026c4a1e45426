/* an interpreter of bytecode, with an indirect jump for each instruction. the program it runs is built first: lengths of Collatz
   sequences, primes by trial division, a Fibonacci number by recursion */
#include "runtime.h"

#define COLLATZ 220
#define PRIMES 250
#define FIBONACCI 14

const char bench_name[] = "bytecode";
const uint64_t bench_rounds = 290;
const uint64_t bench_expected = 0x252300350179;

/* a stack machine: PUSH, LOAD and STORE have a byte of operand, jumps and calls the place to go to in two */
enum op { PUSH, LOAD, STORE, ADD, SUB, MUL, REM, AND, SHR, LESS, DUP, SWAP, JUMP, IF_ZERO, CALL, RETURN, HALT };
enum variable { N, STEPS, VALUE, DIVISOR, COUNT, RESULT, VARIABLES };

static uint8_t code[512];
static uint16_t at;

static void emit(enum op op) { code[at++] = (uint8_t)op; }

static void emit1(enum op op, uint8_t operand) {
    emit(op);
    code[at++] = operand;
}

static void aim(uint16_t jump, uint16_t target) {
    code[jump + 1] = (uint8_t)target;
    code[jump + 2] = (uint8_t)(target >> 8);
}

/* where the jump is, for `aim` when its target lies ahead */
static uint16_t emit_jump(enum op op, uint16_t target) {
    uint16_t jump = at;
    at += 3;
    code[jump] = (uint8_t)op;
    aim(jump, target);
    return jump;
}

/* variable = variable op constant */
static void emit_update(enum variable variable, enum op op, uint8_t constant) {
    emit1(LOAD, variable);
    emit1(PUSH, constant);
    emit(op);
    emit1(STORE, variable);
}

/* STEPS += the steps from n to 1, for n = COLLATZ down to 1 */
static void build_collatz(void) {
    emit1(PUSH, COLLATZ);
    emit1(STORE, N);
    uint16_t next_n = at;
    emit1(LOAD, N);
    emit1(STORE, VALUE);
    uint16_t next_value = at;
    emit1(PUSH, 1);
    emit1(LOAD, VALUE);
    emit(LESS);
    uint16_t at_one = emit_jump(IF_ZERO, 0);
    emit_update(STEPS, ADD, 1);
    emit1(LOAD, VALUE);
    emit1(PUSH, 1);
    emit(AND);
    uint16_t even = emit_jump(IF_ZERO, 0);
    emit_update(VALUE, MUL, 3);
    emit_update(VALUE, ADD, 1);
    emit_jump(JUMP, next_value);
    aim(even, at);
    emit1(LOAD, VALUE);
    emit(SHR);
    emit1(STORE, VALUE);
    emit_jump(JUMP, next_value);
    aim(at_one, at);
    emit_update(N, SUB, 1);
    emit1(LOAD, N);
    uint16_t done = emit_jump(IF_ZERO, 0);
    emit_jump(JUMP, next_n);
    aim(done, at);
}

/* COUNT = the primes from 2 to PRIMES */
static void build_primes(void) {
    emit1(PUSH, PRIMES);
    emit1(STORE, N);
    uint16_t next_n = at;
    emit1(PUSH, 2);
    emit1(STORE, DIVISOR);
    uint16_t next_divisor = at;
    emit1(LOAD, N);
    emit1(LOAD, DIVISOR);
    emit(DUP);
    emit(MUL);
    emit(LESS);
    uint16_t in_range = emit_jump(IF_ZERO, 0);
    emit_update(COUNT, ADD, 1);
    uint16_t prime = emit_jump(JUMP, 0);
    aim(in_range, at);
    emit1(LOAD, N);
    emit1(LOAD, DIVISOR);
    emit(REM);
    uint16_t divided = emit_jump(IF_ZERO, 0);
    emit_update(DIVISOR, ADD, 1);
    emit_jump(JUMP, next_divisor);
    aim(prime, at);
    aim(divided, at);
    emit_update(N, SUB, 1);
    emit1(PUSH, 1);
    emit1(LOAD, N);
    emit(LESS);
    uint16_t done = emit_jump(IF_ZERO, 0);
    emit_jump(JUMP, next_n);
    aim(done, at);
}

/* RESULT = fibonacci(FIBONACCI): the function takes n from the stack and leaves the result there */
static void build_fibonacci(void) {
    uint16_t over = emit_jump(JUMP, 0), fibonacci = at;
    emit(DUP);
    emit1(PUSH, 2);
    emit(LESS);
    uint16_t recurse = emit_jump(IF_ZERO, 0);
    emit(RETURN);
    aim(recurse, at);
    emit(DUP);
    emit1(PUSH, 1);
    emit(SUB);
    emit_jump(CALL, fibonacci);
    emit(SWAP);
    emit1(PUSH, 2);
    emit(SUB);
    emit_jump(CALL, fibonacci);
    emit(ADD);
    emit(RETURN);
    aim(over, at);
    emit1(PUSH, FIBONACCI);
    emit_jump(CALL, fibonacci);
    emit1(STORE, RESULT);
}

/* runs the code until HALT; what it computed is in `variables` */
static void run(uint64_t *variables) {
    static const void *const handlers[] = {
        [PUSH] = &&push, [LOAD] = &&load, [STORE] = &&store, [ADD] = &&add,   [SUB] = &&sub,         [MUL] = &&mul,
        [REM] = &&rem,   [AND] = &&and_,  [SHR] = &&shr,     [LESS] = &&less, [DUP] = &&dup,         [SWAP] = &&swap,
        [JUMP] = &&jump, [CALL] = &&call, [IF_ZERO] = &&if_zero, [RETURN] = &&return_, [HALT] = &&halt,
    };
    uint64_t stack[64], *top = stack, a, b; /* top: the first free one */
    const uint8_t *returns[64], **caller = returns, *pc = code;

#define NEXT goto *handlers[*pc]
#define TARGET (code + (pc[1] | pc[2] << 8))
#define BINARY(expression) b = *--top, a = *--top, *top++ = (expression), pc++

    NEXT;
push:
    *top++ = pc[1], pc += 2;
    NEXT;
load:
    *top++ = variables[pc[1]], pc += 2;
    NEXT;
store:
    variables[pc[1]] = *--top, pc += 2;
    NEXT;
add:
    BINARY(a + b);
    NEXT;
sub:
    BINARY(a - b);
    NEXT;
mul:
    BINARY(a * b);
    NEXT;
rem:
    BINARY(a % b);
    NEXT;
and_:
    BINARY(a & b);
    NEXT;
less:
    BINARY(a < b);
    NEXT;
shr:
    top[-1] >>= 1, pc++;
    NEXT;
dup:
    top[0] = top[-1], top++, pc++;
    NEXT;
swap:
    a = top[-1], top[-1] = top[-2], top[-2] = a, pc++;
    NEXT;
jump:
    pc = TARGET;
    NEXT;
if_zero:
    pc = *--top == 0 ? TARGET : pc + 3;
    NEXT;
call:
    *caller++ = pc + 3, pc = TARGET;
    NEXT;
return_:
    pc = *--caller;
    NEXT;
halt:
    return;
}

uint64_t bench_round(void) {
    uint64_t variables[VARIABLES] = {0};
    at = 0;
    build_collatz();
    build_primes();
    build_fibonacci();
    emit(HALT);
    run(variables);
    return variables[STEPS] << 32 | variables[COUNT] << 16 | variables[RESULT];
}
