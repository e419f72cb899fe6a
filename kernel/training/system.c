/*
 * What programs ask of a kernel, over and over. It is executed in a training run; what the kernel and init
 * execute for it is translated in every artifact. Each part is some 30 million instructions.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static char buffer[64 << 10];
static const char *own_path;

static long sure(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

#define SURE(call) sure((long)(call), #call)

static void whole(ssize_t (*call)(int, void *, size_t), int file, void *data, size_t len)
{
	for (size_t done = 0; done < len;)
		done += SURE(call(file, (char *)data + done, len - done));
}

static ssize_t put(int file, void *data, size_t len)
{
	return write(file, data, len);
}

static void short_calls(void)
{
	struct timespec now;
	int null = SURE(open("/dev/null", O_WRONLY)), zero = SURE(open("/dev/zero", O_RDONLY));

	for (int i = 0; i < 12000; i++) {
		SURE(syscall(SYS_getppid));
		SURE(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now));
		SURE(write(null, buffer, 64));
		SURE(read(zero, buffer, 64));
		SURE(sched_yield());
	}
	close(null);
	close(zero);
}

static void files(void)
{
	struct stat status;
	char name[64];

	for (int i = 0; i < 800; i++) {
		snprintf(name, sizeof name, "/training/%d", i % 16);
		int file = SURE(open(name, O_RDWR | O_CREAT, 0600));
		SURE(pwrite(file, buffer, i % 8 ? 100 : sizeof buffer, 0));
		SURE(fstat(file, &status));
		SURE(lseek(file, 0, SEEK_SET));
		SURE(read(file, buffer, sizeof buffer));
		close(file);
		SURE(stat(name, &status));
		access("/training/none", R_OK);
		if (i % 16 == 15) {
			struct dirent *entry;
			DIR *folder = opendir("/training");
			while ((entry = readdir(folder)))
				;
			closedir(folder);
		}
		if (i % 4 == 3) {
			SURE(rename(name, "/training/other"));
			SURE(unlink("/training/other"));
		}
	}
}

/* Files of the image: another file system than that of new ones. */
static void image_files(void)
{
	struct stat status;

	for (int i = 0; i < 1500; i++) {
		int file = SURE(open(own_path, O_RDONLY));
		SURE(fstat(file, &status));
		SURE(pread(file, buffer, sizeof buffer / 4, i % 8 * PAGE));
		close(file);
		SURE(stat(own_path, &status));
	}
}

static void memory(void)
{
	int file = SURE(open(own_path, O_RDONLY));

	for (int i = 0; i < 250; i++) {
		size_t len = 16 * PAGE;
		char *own = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char *mapped = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
		for (size_t at = 0; at < len; at += PAGE) {
			own[at] = 1;
			mapped[at] += i % 2;
		}
		SURE(mprotect(own, len / 2, PROT_READ));
		SURE(madvise(own + len / 2, len / 2, MADV_DONTNEED));
		SURE(munmap(own, len));
		SURE(munmap(mapped, len));
		SURE(sbrk(PAGE));
		SURE(sbrk(-PAGE));
	}
	close(file);
}

static void pipes(void)
{
	int there[2], back[2];
	enum { TURNS = 4500, BULK = 64 };

	SURE(pipe(there));
	SURE(pipe(back));
	pid_t child = SURE(fork());
	if (child == 0) {
		char byte;
		for (int i = 0; i < TURNS; i++) {
			SURE(read(there[0], &byte, 1));
			SURE(write(back[1], &byte, 1));
		}
		for (int i = 0; i < BULK; i++)
			whole(put, back[1], buffer, sizeof buffer);
		_exit(0);
	}
	for (int i = 0; i < TURNS; i++) {
		SURE(write(there[1], buffer, 1));
		SURE(read(back[0], buffer, 1));
	}
	for (int i = 0; i < BULK; i++)
		whole(read, back[0], buffer, sizeof buffer);
	SURE(waitpid(child, NULL, 0));
	for (int i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
}

static void processes(void)
{
	char *arguments[] = { (char *)own_path, "end", NULL }, *environment[] = { "A=1", NULL };

	for (volatile int i = 0; i < 150; i++) {
		pid_t child = SURE(i % 3 ? vfork() : fork());
		if (child == 0) {
			execve(own_path, arguments, environment);
			_exit(1);
		}
		SURE(waitpid(child, NULL, 0));
	}
}

static volatile sig_atomic_t caught;

static void catch(int number)
{
	caught += number;
}

static void signals(void)
{
	struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { { 0, 0 }, { 0, 0 } };
	sigset_t set, old;

	signal(SIGUSR1, catch);
	signal(SIGALRM, catch);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	for (int i = 0; i < 3000; i++) {
		SURE(sigprocmask(SIG_BLOCK, &set, &old));
		SURE(kill(getpid(), SIGUSR1));
		SURE(sigprocmask(SIG_SETMASK, &old, NULL));
	}
	SURE(setitimer(ITIMER_REAL, &often, NULL));
	for (int i = 0; i < 500; i++)
		pause();
	SURE(setitimer(ITIMER_REAL, &never, NULL));
	for (int i = 0; i < 500; i++)
		usleep(10);
}

static void serve(int listener, int rounds)
{
	char request[256];

	for (int i = 0; i < rounds; i++) {
		int peer = SURE(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
		while (SURE(recv(peer, request, sizeof request, 0)) > 0)
			SURE(send(peer, buffer, 2000, MSG_NOSIGNAL));
		close(peer);
	}
	_exit(0);
}

/* One connection for some requests, and a wait for each answer. */
static void connections(int family, const void *address, socklen_t len)
{
	enum { ROUNDS = 90, REQUESTS = 6 };
	int listener = SURE(socket(family, SOCK_STREAM, 0)), one = 1, queue = SURE(epoll_create1(0));

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	SURE(bind(listener, address, len));
	SURE(listen(listener, 8));
	pid_t child = SURE(fork());
	if (child == 0)
		serve(listener, ROUNDS);
	for (int i = 0; i < ROUNDS; i++) {
		int peer = SURE(socket(family, SOCK_STREAM, 0));
		struct epoll_event event = { .events = EPOLLIN };
		SURE(connect(peer, address, len));
		if (family == AF_INET)
			setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		SURE(epoll_ctl(queue, EPOLL_CTL_ADD, peer, &event));
		for (int request = 0; request < REQUESTS; request++) {
			struct pollfd waiting = { .fd = peer, .events = POLLIN };
			SURE(send(peer, buffer, 200, MSG_NOSIGNAL));
			SURE(request % 2 ? poll(&waiting, 1, -1) : epoll_wait(queue, &event, 1, -1));
			for (ssize_t got = 0; got < 2000;)
				got += SURE(recv(peer, buffer, 2000, 0));
		}
		close(peer);
	}
	SURE(waitpid(child, NULL, 0));
	close(listener);
	close(queue);
}

static void sockets(void)
{
	struct sockaddr_un path = { AF_UNIX, "/training/socket" };
	struct sockaddr_in address = { AF_INET, htons(4567), { htonl(INADDR_LOOPBACK) }, { 0 } };

	connections(AF_UNIX, &path, sizeof path);
	connections(AF_INET, &address, sizeof address);

	int datagrams = SURE(socket(AF_INET, SOCK_DGRAM, 0));
	SURE(bind(datagrams, (void *)&address, sizeof address));
	for (int i = 0; i < 1000; i++) {
		SURE(sendto(datagrams, buffer, 100, 0, (void *)&address, sizeof address));
		SURE(recv(datagrams, buffer, sizeof buffer, 0));
	}
	close(datagrams);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;

static void *take_turns(void *own)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < 2000; i++) {
		while (turn != (int)(long)own)
			pthread_cond_wait(&changed, &lock);
		turn = !turn;
		pthread_cond_signal(&changed);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void *nothing(void *own)
{
	return own;
}

static void threads(void)
{
	pthread_t other;

	if (pthread_create(&other, NULL, take_turns, (void *)1))
		exit(1);
	take_turns((void *)0);
	pthread_join(other, NULL);
	for (int i = 0; i < 300; i++) {
		if (pthread_create(&other, NULL, nothing, NULL))
			exit(1);
		pthread_join(other, NULL);
	}
}

static void output(void)
{
	for (int i = 0; i < 1500; i++)
		dprintf(STDOUT_FILENO, "line %d of what a program prints, of some length\n", i);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return 0;
	own_path = argv[0];
	SURE(mkdir("/training", 0700));
	static void (*const parts[])(void) = {
		short_calls, files, image_files, memory, pipes, processes, signals, sockets, threads, output,
	};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		parts[i]();
	return 0;
}
