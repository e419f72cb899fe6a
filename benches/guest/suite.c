/*
 * Guest programs of the benchmark: `suite [ROW...]` runs every row, or those named, and prints for each
 *
 *     NAME SECONDS CHECKSUM
 *
 * The time is the program's own monotonic clock around the work, so starting a machine is not part of
 * it. Equal checksums show that every side did the same work. Rows of the system group and programs of
 * the image are children; `SUITE_EXEC` names a program to start them with, for an emulator that cannot
 * execute them itself.
 */

#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t state = 88172645463325252;

/* xorshift64: the same numbers on every side. */
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

static void *memory(size_t bytes)
{
	void *block = malloc(bytes);

	if (!block)
		die("malloc");
	return block;
}

/* ---- integer ---- */

static uint64_t sieve(void)
{
	enum { LIMIT = 1 << 20, ROUNDS = 7 };
	char *composite = memory(LIMIT);
	uint64_t primes = 0;

	for (int round = 0; round < ROUNDS; round++) {
		memset(composite, 0, LIMIT);
		for (int i = 2; i < LIMIT; i++) {
			if (composite[i])
				continue;
			primes++;
			for (int j = 2 * i; j < LIMIT; j += i)
				composite[j] = 1;
		}
	}
	free(composite);
	return primes;
}

static const uint32_t sha256_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t value, int by)
{
	return value >> by | value << (32 - by);
}

static void sha256_block(uint32_t hash[8], const uint32_t block[16])
{
	uint32_t w[64], v[8];

	memcpy(w, block, 64);
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7]
			+ (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
	memcpy(v, hash, sizeof v);
	for (int i = 0; i < 64; i++) {
		uint32_t t1 = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25))
			+ ((v[4] & v[5]) ^ (~v[4] & v[6])) + sha256_constants[i] + w[i];
		uint32_t t2 = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22))
			+ ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 28);
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		hash[i] += v[i];
}

static uint64_t sha256(void)
{
	uint32_t hash[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, block[16];

	for (int round = 0; round < 30000; round++) {
		for (int i = 0; i < 16; i++)
			block[i] = hash[i % 8] + i;
		sha256_block(hash, block);
	}
	return hash[0];
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint64_t sort(void)
{
	enum { COUNT = 250000 };
	uint32_t *numbers = memory(COUNT * sizeof *numbers);
	uint64_t sum = 0;

	for (int i = 0; i < COUNT; i++)
		numbers[i] = random64();
	qsort(numbers, COUNT, sizeof *numbers, ascending);
	for (int i = 0; i < COUNT; i++)
		sum = sum * 31 + numbers[i];
	free(numbers);
	return sum;
}

static uint64_t crc32(void)
{
	enum { BYTES = 1 << 16, ROUNDS = 200 };
	uint32_t table[256], crc = ~0u;
	unsigned char *data = memory(BYTES);

	for (uint32_t i = 0; i < 256; i++) {
		uint32_t entry = i;

		for (int bit = 0; bit < 8; bit++)
			entry = entry >> 1 ^ (entry & 1 ? 0xedb88320 : 0);
		table[i] = entry;
	}
	for (int i = 0; i < BYTES; i++)
		data[i] = random64();
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < BYTES; i++)
			crc = table[(crc ^ data[i]) & 255] ^ crc >> 8;
	free(data);
	return crc;
}

/* A switch-dispatched bytecode machine: what interpreters do. Computes a Collatz length. */
enum { PUSH, LOAD, STORE, ADD, MUL, HALVE, ODD, JUMP_IF, JUMP, EQUAL_1, HALT };

static uint64_t interpret(const int *code, int64_t start)
{
	int64_t stack[16], variables[4] = { start, 0 };
	int top = 0;

	for (const int *at = code;;) {
		switch (*at++) {
		case PUSH: stack[top++] = *at++; break;
		case LOAD: stack[top++] = variables[*at++]; break;
		case STORE: variables[*at++] = stack[--top]; break;
		case ADD: top--; stack[top - 1] += stack[top]; break;
		case MUL: top--; stack[top - 1] *= stack[top]; break;
		case HALVE: stack[top - 1] >>= 1; break;
		case ODD: stack[top - 1] &= 1; break;
		case EQUAL_1: stack[top - 1] = stack[top - 1] == 1; break;
		case JUMP_IF: at = stack[--top] ? code + *at : at + 1; break;
		case JUMP: at = code + *at; break;
		case HALT: return variables[1];
		}
	}
}

static uint64_t bytecode(void)
{
	static const int code[] = {
		/* 0 */ LOAD, 0, EQUAL_1, JUMP_IF, 36,
		/* 5 */ LOAD, 1, PUSH, 1, ADD, STORE, 1, LOAD, 0, ODD, JUMP_IF, 24,
		/* 17 */ LOAD, 0, HALVE, STORE, 0, JUMP, 0,
		/* 24 */ LOAD, 0, PUSH, 3, MUL, PUSH, 1, ADD, STORE, 0, JUMP, 0,
		/* 36 */ HALT,
	};
	uint64_t sum = 0;

	for (int start = 1; start < 8000; start++)
		sum += interpret(code, start);
	return sum;
}

/* ---- float ---- */

static uint64_t bits(double value)
{
	uint64_t word;

	memcpy(&word, &value, sizeof word);
	return word;
}

static uint64_t matmul(void)
{
	enum { N = 140 };
	static double a[N][N], b[N][N], c[N][N];

	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			a[i][j] = (i * 7 + j) % 13 / 4.0;
			b[i][j] = (i + j * 5) % 11 / 8.0;
		}
	for (int round = 0; round < 4; round++)
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N; j++) {
				double sum = round;

				for (int k = 0; k < N; k++)
					sum += a[i][k] * b[k][j];
				c[i][j] = sum / 3.0;
			}
	return bits(c[17][23]) ^ bits(c[N - 1][N - 1]);
}

static uint64_t orbit(void)
{
	double x[5], y[5], vx[5] = { 0 }, vy[5] = { 0 };

	for (int i = 0; i < 5; i++) {
		x[i] = i * 1.25 - 2;
		y[i] = i * i * 0.5 - 3;
	}
	for (int step = 0; step < 30000; step++) {
		for (int i = 0; i < 5; i++)
			for (int j = i + 1; j < 5; j++) {
				double dx = x[i] - x[j], dy = y[i] - y[j];
				double square = dx * dx + dy * dy + 0.01;
				double force = 0.001 / (square * sqrt(square));

				vx[i] -= dx * force;
				vy[i] -= dy * force;
				vx[j] += dx * force;
				vy[j] += dy * force;
			}
		for (int i = 0; i < 5; i++) {
			x[i] += 0.001 * vx[i];
			y[i] += 0.001 * vy[i];
		}
	}
	return bits(x[0]) ^ bits(y[4]);
}

/* binary32, with conversions and comparisons. */
static uint64_t mandelbrot(void)
{
	uint64_t sum = 0;

	for (int row = 0; row < 120; row++)
		for (int column = 0; column < 160; column++) {
			float cx = column / 80.0f - 1.5f, cy = row / 60.0f - 1.0f, x = 0, y = 0;
			int n = 0;

			while (n < 100 && x * x + y * y < 4.0f) {
				float next = x * x - y * y + cx;

				y = 2 * x * y + cy;
				x = next;
				n++;
			}
			sum += n;
		}
	return sum;
}

/* ---- memory ---- */

/* Every load waits for the one before, all over 16 MiB. */
static uint64_t chase(void)
{
	enum { COUNT = 1 << 21 };
	uint64_t *next = memory(COUNT * sizeof *next), at = 0;

	for (uint64_t i = 0; i < COUNT; i++)
		next[i] = i;
	for (uint64_t i = COUNT - 1; i > 0; i--) {
		uint64_t j = random64() % i, swap = next[i];

		next[i] = next[j];
		next[j] = swap;
	}
	for (int i = 0; i < 2000000; i++)
		at = next[at];
	free(next);
	return at;
}

static uint64_t copy(void)
{
	enum { BYTES = 4 << 20 };
	char *from = memory(BYTES), *to = memory(BYTES);

	memset(from, 0x5a, BYTES);
	for (int round = 0; round < 12; round++) {
		from[round] = round;
		memcpy(to, from, BYTES);
		memmove(from + 3, to, BYTES - 3);
	}
	uint64_t sum = 0;
	for (int i = 0; i < BYTES; i += 997)
		sum = sum * 31 + (unsigned char)from[i];
	free(from);
	free(to);
	return sum;
}

static uint64_t stride(void)
{
	enum { COUNT = 1 << 20 };
	uint32_t *numbers = memory(COUNT * sizeof *numbers);
	uint64_t sum = 0;

	for (int i = 0; i < COUNT; i++)
		numbers[i] = i * 2654435761u;
	for (int step = 1; step < 64; step += 3)
		for (int start = 0; start < step; start++)
			for (int i = start; i < COUNT; i += step)
				sum += numbers[i] ^ i;
	free(numbers);
	return sum;
}

/* ---- branches ---- */

static uint64_t branches(void)
{
	uint64_t counts[4] = { 0 }, x = 1;

	for (int i = 0; i < 8000000; i++) {
		x = x * 6364136223846793005 + 1442695040888963407;
		if (x >> 63)
			counts[0]++;
		else if (x >> 62 & 1)
			counts[1] += 3;
		else if ((x >> 40 & 7) == 5)
			counts[2] ^= x;
		else
			counts[3]++;
	}
	return counts[0] ^ counts[1] << 8 ^ counts[2] ^ counts[3] << 16;
}

static uint64_t __attribute__((noinline)) fibonacci(unsigned n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t calls(void)
{
	return fibonacci(31);
}

/* ---- system ---- */

static uint64_t syscalls(void)
{
	uint64_t parents = 0;

	/* Not cached by the C library. */
	for (int i = 0; i < 200000; i++)
		parents += syscall(SYS_getppid) >= 0;
	return parents;
}

static uint64_t files(void)
{
	static char buffer[4096];
	uint64_t total = 0;
	char name[] = "/tmp/suite-XXXXXX";
	int file = mkstemp(name);

	if (file < 0)
		die(name);
	for (int round = 0; round < 1500; round++) {
		struct stat status;
		int again = open(name, O_RDWR);

		if (again < 0 || stat(name, &status) != 0)
			die(name);
		for (int i = 0; i < 4; i++)
			total += pwrite(again, buffer, sizeof buffer, i * sizeof buffer);
		for (int i = 0; i < 8; i++)
			total += pread(again, buffer, sizeof buffer / 2, i * sizeof buffer / 2);
		close(again);
	}
	unlink(name);
	close(file);
	return total;
}

static const char *own_path;

/* The command that starts `command` here: SUITE_EXEC in front, programs of the image below SUITE_ROOT. */
static void resolve(char *const command[], char *full[16])
{
	static char prefix[4096], inside[4096];
	const char *start = getenv("SUITE_EXEC"), *root = getenv("SUITE_ROOT");
	int count = 0;

	snprintf(prefix, sizeof prefix, "%s", start ? start : "");
	for (char *word = strtok(prefix, " "); word; word = strtok(NULL, " "))
		full[count++] = word;
	full[count] = command[0];
	if (root && command[0] != own_path) {
		snprintf(inside, sizeof inside, "%s%s", root, command[0]);
		full[count] = inside;
	}
	do
		full[++count] = *++command;
	while (*command);
}

/* Runs a program with `input` as its standard input; the checksum is of its standard output. */
static uint64_t run(char *const command[], int input)
{
	char *full[16];
	int status, ends[2];
	uint64_t sum = 0;
	unsigned char bytes[4096];
	ssize_t got;

	resolve(command, full);
	if (pipe(ends) != 0)
		die("pipe");
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		dup2(input, 0);
		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		execv(full[0], full);
		die(full[0]);
	}
	close(ends[1]);
	while ((got = read(ends[0], bytes, sizeof bytes)) > 0)
		for (ssize_t i = 0; i < got; i++)
			sum = sum * 31 + bytes[i];
	close(ends[0]);
	if (waitpid(child, &status, 0) != child || status != 0) {
		fprintf(stderr, "%s: status %#x\n", command[0], status);
		exit(1);
	}
	return sum;
}

static uint64_t fork_only(void)
{
	for (int i = 0; i < 250; i++) {
		pid_t child = fork();
		int status;

		if (child < 0)
			die("fork");
		if (child == 0)
			_exit(7);
		if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7)
			die("wait");
	}
	return 250;
}

static uint64_t fork_exec(void)
{
	char *const command[] = { (char *)own_path, "nothing", NULL };

	for (int i = 0; i < 60; i++)
		run(command, 0);
	return 60;
}

static void whole(ssize_t (*call)(int, void *, size_t), int file, void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t got = call(file, (char *)data + done, len - done);

		if (got <= 0)
			_exit(1);
		done += got;
	}
}

static ssize_t write_call(int file, void *data, size_t len)
{
	return write(file, data, len);
}

/* A byte there and back: two context switches. */
static uint64_t ping_pong(void)
{
	int there[2], back[2];
	char byte = 0;

	if (pipe(there) != 0 || pipe(back) != 0)
		die("pipe");
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < 10000; i++) {
			whole(read, there[0], &byte, 1);
			byte++;
			whole(write_call, back[1], &byte, 1);
		}
		_exit(0);
	}
	for (int i = 0; i < 10000; i++) {
		whole(write_call, there[1], &byte, 1);
		whole(read, back[0], &byte, 1);
	}
	waitpid(child, NULL, 0);
	for (int i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
	return (unsigned char)byte;
}

static uint64_t pipe_bulk(void)
{
	enum { BYTES = 65536, ROUNDS = 800 };
	static char data[BYTES];
	int ends[2];

	if (pipe(ends) != 0)
		die("pipe");
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < ROUNDS; i++)
			whole(write_call, ends[1], data, BYTES);
		_exit(0);
	}
	for (int i = 0; i < ROUNDS; i++)
		whole(read, ends[0], data, BYTES);
	waitpid(child, NULL, 0);
	close(ends[0]);
	close(ends[1]);
	return ROUNDS;
}

/* ---- programs of the image ---- */

/* Text of the kind that compresses by half. */
static int text(void)
{
	static const char *words[] = { "the ", "machine ", "guest ", "page ", "of ", "and ", "block\n", "a " };
	FILE *file = tmpfile();

	if (!file)
		die("tmpfile");
	for (int i = 0; i < 150000; i++)
		fputs(words[random64() % 8], file);
	fflush(file);
	lseek(fileno(file), 0, SEEK_SET);
	return fileno(file);
}

static uint64_t gzip(void)
{
	char *const command[] = { "/usr/bin/gzip", "-6", "-c", "-n", NULL };
	int input = text();

	run(command, input);
	close(input);
	/* Releases of gzip need not agree to the bit. */
	return 0;
}

static uint64_t python(const char *program)
{
	/* SUITE_PYTHON: where the interpreter is outside the image. */
	char *path = getenv("SUITE_PYTHON");
	char *const command[] = { path ? path : "/usr/bin/python3", "-S", "-c", (char *)program, NULL };

	return run(command, 0);
}

static uint64_t python_start(void)
{
	return python("pass");
}

static uint64_t python_loop(void)
{
	return python("s=0\nfor i in range(200000): s+=i*i%7\nprint(s)");
}

static uint64_t python_objects(void)
{
	return python("d={}\n"
		      "for i in range(25000):\n"
		      " k='k%d'%(i%5000)\n"
		      " d.setdefault(k,[]).append(i)\n"
		      "print(sum(len(v)*len(k) for k,v in sorted(d.items())))");
}

static uint64_t python_zlib(void)
{
	return python("import zlib\n"
		      "b=b''.join(b'%d,'%(i*7919%10007) for i in range(25000))\n"
		      "print(zlib.decompress(zlib.compress(b,6))==b)");
}

/* ---- */

static const struct row {
	const char *name;
	uint64_t (*work)(void);
} rows[] = {
	{ "integer/sieve", sieve },
	{ "integer/sha256", sha256 },
	{ "integer/sort", sort },
	{ "integer/crc32", crc32 },
	{ "integer/bytecode", bytecode },
	{ "float/matmul", matmul },
	{ "float/orbit", orbit },
	{ "float/mandelbrot", mandelbrot },
	{ "memory/chase", chase },
	{ "memory/copy", copy },
	{ "memory/stride", stride },
	{ "branches/random", branches },
	{ "branches/calls", calls },
	{ "compression/gzip", gzip },
	{ "compression/zlib", python_zlib },
	{ "python/loop", python_loop },
	{ "python/objects", python_objects },
	{ "python/start", python_start },
	{ "system/syscalls", syscalls },
	{ "system/files", files },
	{ "system/fork", fork_only },
	{ "system/exec", fork_exec },
	{ "system/ping-pong", ping_pong },
	{ "system/pipe", pipe_bulk },
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

static int wanted(const char *name, int argc, char **argv)
{
	int found = argc == 1;

	for (int i = 1; i < argc; i++)
		found |= strncmp(name, argv[i], strlen(argv[i])) == 0;
	return found;
}

int main(int argc, char **argv)
{
	own_path = getenv("SUITE_SELF") ? getenv("SUITE_SELF") : argv[0];
	if (argc == 2 && strcmp(argv[1], "nothing") == 0)
		return 0;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (!wanted(rows[i].name, argc, argv))
			continue;
		state = 88172645463325252;
		double start = now();
		uint64_t checksum = rows[i].work();
		double seconds = now() - start;

		printf("%s %.6f %016llx\n", rows[i].name, seconds, (unsigned long long)checksum);
		fflush(stdout);
	}
	return 0;
}
