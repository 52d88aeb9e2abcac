/* Runs on the CPU of bench/litex_soc.py: trains through the registers of the peripheral, and shows what it reads. */
#include <stdint.h>

#include "examples.h"
#include "flowers.h"
#include "generated/csr.h"
#include "generated/mem.h"

#define REGISTER(name) (*(volatile uint32_t *)(FLOWERS_BASE + FLOWERS_##name))

__asm__(".section .init\n.globl _start\n_start: la sp, _stack\nj main\n.text\n");

static void until(uint32_t bit)
{
    while (!(REGISTER(STATUS) & bit))
        ;
}

static void show(uint32_t value)
{
    *(volatile uint32_t *)CSR_CONSOLE_VALUE_ADDR = value;
}

int main(void)
{
    int i, k;

    show(REGISTER(FINGERPRINT_LOW));
    show(REGISTER(FINGERPRINT_HIGH));
    show(REGISTER(WORD)); /* which is refused */
    for (i = 0; i < EXAMPLES; i++) {
        for (k = 0; k < FLOWERS_WORDS; k++) {
            until(FLOWERS_STATUS_WORD);
            REGISTER(WORD) = examples[i][k];
        }
        until(FLOWERS_STATUS_PREDICTION);
        show(REGISTER(PREDICTION));
        REGISTER(CONTROL) = FLOWERS_CONTROL_TAKE;
    }
    show(REGISTER(EXAMPLE_COUNT));
    show(REGISTER(ERROR_COUNT));
    for (k = 0; k < FLOWERS_PARAMETER_WORDS; k++) {
        REGISTER(ADDRESS) = k;
        until(FLOWERS_STATUS_PARAMETERS);
        show(REGISTER(DATA));
    }
    for (;;) /* fetches alone would keep the bus from the last write */
        *(volatile uint32_t *)CSR_CONSOLE_END_ADDR = 1;
}
