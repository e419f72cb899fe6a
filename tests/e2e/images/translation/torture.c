/*
 * What translated code must survive: `torture CASE` prints lines that do not depend on how the
 * machine executes it. Each case runs long enough that its code is worth translating.
 */

#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

typedef uint64_t (*code)(uint64_t);

static uint64_t state = 88172645463325252;

static uint64_t random64(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint32_t *map(int protection, int file)
{
	int flags = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *page = mmap(NULL, PAGE, protection, flags, file, 0);
	if (page == MAP_FAILED)
		die("mmap");
	return page;
}

static uint32_t addi(int rd, int rs1, int imm)
{
	return (uint32_t)imm << 20 | rs1 << 15 | rd << 7 | 0x13;
}

#define A0 10
#define RET 0x00008067u

static void changed(uint32_t *at)
{
	__builtin___clear_cache((char *)at, (char *)at + PAGE);
}

/* A function that is rewritten between its calls, on a page that is writable all the time. */
static void selfmod(void)
{
	uint32_t *page = map(PROT_READ | PROT_WRITE | PROT_EXEC, -1);
	uint64_t sum = 0;
	page[1] = RET;
	for (int i = 0; i < 20000; i++) {
		page[0] = addi(A0, A0, i & 1023);
		changed(page);
		for (int j = 0; j < 4; j++)
			sum = ((code)page)(sum * 3);
	}
	printf("selfmod %016lx\n", (unsigned long)sum);
}

/* The same page at two addresses: written at one, executed at the other. */
static void alias(void)
{
	int file = memfd_create("code", 0);
	if (file < 0 || ftruncate(file, PAGE))
		die("memfd_create");
	uint32_t *write = map(PROT_READ | PROT_WRITE, file);
	code run[2] = {(code)map(PROT_READ | PROT_EXEC, file), (code)map(PROT_READ | PROT_EXEC, file)};
	uint64_t sum = 0;
	write[1] = RET;
	for (int i = 0; i < 20000; i++) {
		write[0] = addi(A0, A0, i & 1023);
		changed(write);
		sum = run[i & 1](sum * 5);
	}
	printf("alias %016lx\n", (unsigned long)sum);
}

/* A page that is either writable or executable. */
static void protect(void)
{
	uint32_t *page = map(PROT_READ | PROT_WRITE, -1);
	uint64_t sum = 0;
	page[1] = RET;
	for (int i = 0; i < 5000; i++) {
		page[0] = addi(A0, A0, i & 1023);
		if (mprotect(page, PAGE, PROT_READ | PROT_EXEC))
			die("mprotect");
		changed(page);
		sum = ((code)page)(sum * 7);
		if (mprotect(page, PAGE, PROT_READ | PROT_WRITE))
			die("mprotect");
	}
	printf("protect %016lx\n", (unsigned long)sum);
}

/* Compiles chains of random operations and checks each against what it means. */
static void jit(void)
{
	uint32_t *page = map(PROT_READ | PROT_WRITE | PROT_EXEC, -1);
	uint64_t sum = 0;
	for (int i = 0; i < 3000; i++) {
		uint64_t x = random64(), want = x;
		int len = 1 + random64() % 200;
		for (int j = 0; j < len; j++) {
			int imm = random64() % 2048;
			switch (random64() % 4) {
			case 0: /* addi */
				page[j] = addi(A0, A0, imm);
				want += imm;
				break;
			case 1: /* xori */
				page[j] = addi(A0, A0, imm) | 4 << 12;
				want ^= imm;
				break;
			case 2: /* slli */
				page[j] = addi(A0, A0, 1 + imm % 3) | 1 << 12;
				want <<= 1 + imm % 3;
				break;
			default: /* mul a0, a0, a0 */
				page[j] = 0x02a50533;
				want *= want;
			}
		}
		page[len] = RET;
		changed(page);
		if (((code)page)(x) != want) {
			printf("jit: wrong in round %d\n", i);
			exit(1);
		}
		sum ^= want;
	}
	printf("jit %016lx\n", (unsigned long)sum);
}

static int collect(pid_t child)
{
	int status;
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Many short-lived address spaces, half of them by exec. */
static void spawn(void)
{
	int sum = 0;
	for (int i = 0; i < 150; i++) {
		pid_t child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			if (i & 1)
				_exit(random64() % 100);
			execl("/proc/self/exe", "torture", "child", NULL);
			_exit(1);
		}
		sum = sum * 3 + collect(child);
	}
	printf("spawn %d\n", sum);
}

/* Not inlined and not turned into a loop: each level is a call. */
__attribute__((noinline)) static uint64_t down(uint64_t level)
{
	if (level == 0)
		return 1;
	uint64_t below = down(level - 1);
	__asm__ volatile("" ::: "memory");
	return below * 31 + level;
}

static void recursion(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < 50; i++)
		sum += down(1000 * i);
	printf("recursion %016lx\n", (unsigned long)sum);
}

static jmp_buf back;

__attribute__((noinline)) static int throw_at(int level)
{
	if (level == 0)
		longjmp(back, 7);
	int result = throw_at(level - 1);
	__asm__ volatile("" ::: "memory");
	return result + 1;
}

static void jump(void)
{
	volatile uint64_t sum = 0;
	for (volatile int i = 0; i < 20000; i++) {
		int code = setjmp(back);
		if (code == 0)
			throw_at(i % 300);
		sum = sum * 3 + code + i;
	}
	printf("jump %016lx\n", (unsigned long)sum);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
	(void)signal;
	alarms++;
}

__attribute__((noinline)) static uint64_t work(uint64_t x, int rounds)
{
	for (int i = 0; i < rounds; i++)
		x = (x << 7 | x >> 57) * 0x9e3779b97f4a7c15 + i;
	return x;
}

/* Signals in the middle of a loop, whose result they must not touch. */
static void signals(void)
{
	const int rounds = 2000000;
	uint64_t want = work(1, rounds), got;
	struct itimerval every = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &every, NULL);
	do {
		got = work(1, rounds);
	} while (got == want && alarms < 20);
	setitimer(ITIMER_REAL, &never, NULL);
	printf("signals %016lx %s\n", (unsigned long)got, got == want ? "as without" : "WRONG");
}

/* The program's own code is taken out of memory while it runs, and read again. */
static void evict(void)
{
	extern char __executable_start, etext;
	uintptr_t start = (uintptr_t)&__executable_start & ~(uintptr_t)(PAGE - 1);
	size_t len = (((uintptr_t)&etext + PAGE - 1) & ~(uintptr_t)(PAGE - 1)) - start;
	uint64_t sum = 0;
	for (int i = 0; i < 100; i++) {
		/* Advice: it may be refused, and then nothing is evicted. */
		madvise((void *)start, len, i & 1 ? MADV_PAGEOUT : MADV_DONTNEED);
		sum = work(sum, 1000);
	}
	printf("evict %016lx\n", (unsigned long)sum);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{"selfmod", selfmod}, {"alias", alias}, {"protect", protect}, {"jit", jit},
	{"spawn", spawn}, {"recursion", recursion}, {"jump", jump}, {"signals", signals},
	{"evict", evict},
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "child"))
		return work(3, 500) % 100;
	setvbuf(stdout, NULL, _IONBF, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (argc < 2 || !strcmp(argv[1], cases[i].name))
			cases[i].run();
	return 0;
}
