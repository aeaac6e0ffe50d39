/*
 * proof_of_work.c - what a hash of a chain costs: OpenSSL's kernel, ours with one and with several chains, and the pool
 *
 *     bench_proof_of_work [CHALLENGES]
 *
 * The budget is at least 0.9 of what the CPU's units give with independent chains interleaved. The bound taken here is
 * the best of the kernel itself on one core, so pool_ratio says what queue, checkpoints and base64 leave of it on all
 * cores.
 */
#include "pow/kernel.h"
#include "pow/pow.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define K 1000u
#define G 2000u /* as the service asks for */

static int wake_fd;
static uint32_t done_count;

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Figures are CPU time, so that other programs on the machine do not count. */
static double cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static double ns_per_hash(pow_kernel *kernel, uint32_t lanes)
{
    uint8_t digests[POW_LANES_MAX][POW_DIGEST_BYTES] = {{1}};
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        double start = cpu_seconds();
        kernel(digests, lanes, 500000);
        double spent = (cpu_seconds() - start) * 1e9 / 500000.0 / lanes;
        best = spent < best ? spent : best;
    }
    return best;
}

static void wake(void *context)
{
    uint64_t one = 1;
    (void)context;
    if (write(wake_fd, &one, sizeof one) != (ssize_t)sizeof one)
        abort();
}

static void count(void *context, struct mf_span solution, bool cancelled)
{
    (void)context;
    done_count += !cancelled && solution.length > 0;
}

/* CPU time, so that other programs on the machine do not count; *utilisation is the share of the cores that was used.
 */
static double pool_ns_per_hash(uint32_t challenges, uint32_t *threads, double *utilisation)
{
    struct pow_pool *pool;
    struct pow_challenge challenge = {.k = K, .g = G};
    wake_fd = eventfd(0, EFD_CLOEXEC);
    if (wake_fd < 0 || pow_pool_create(&pool, 0, wake, NULL, NULL) != 0)
        abort();
    *threads = pow_pool_threads(pool);
    double start = now_seconds(), cpu = cpu_seconds();
    for (uint32_t i = 0; i < challenges; i++) {
        memcpy(challenge.seed, &i, sizeof i);
        if (pow_pool_submit(pool, &challenge, count, NULL, NULL, NULL) != 0)
            abort();
    }
    while (done_count < challenges) {
        struct pollfd ready = {.fd = wake_fd, .events = POLLIN};
        uint64_t woken;
        (void)poll(&ready, 1, -1);
        if (read(wake_fd, &woken, sizeof woken) != (ssize_t)sizeof woken)
            abort();
        pow_pool_collect(pool);
    }
    double spent = now_seconds() - start, used = cpu_seconds() - cpu;
    pow_pool_destroy(pool);
    close(wake_fd);
    *utilisation = used / spent / *threads;
    return used * 1e9 / ((double)challenges * K * G);
}

int main(int argc, char **argv)
{
    uint32_t challenges = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 64, threads = 1;
    double utilisation = 0;
    double openssl = ns_per_hash(pow_kernel_portable, 1), one = ns_per_hash(pow_kernel_best(), 1);
    double most = ns_per_hash(pow_kernel_best(), POW_LANES_MAX),
           pool = pool_ns_per_hash(challenges, &threads, &utilisation);
    printf("openssl %.1f ns/hash\none_chain %.1f ns/hash\ninterleaved_%u %.1f ns/hash\n", openssl, one, POW_LANES_MAX,
           most);
    printf("pool %.1f ns/hash\npool_threads %u threads\n", pool, threads);
    printf("pool_utilisation %.3f of-cores\npool_ratio %.3f of-interleaved\n", utilisation, most / pool);
    return 0;
}
