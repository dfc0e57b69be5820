/* The shared object as the tool loads it: by name, with the same file preloaded for getsockopt.
 *
 *   cargo build -p tapline-packetdrill
 *   cc -o /tmp/smoke tools/packetdrill/tests/smoke.c -ldl
 *   LD_PRELOAD=$so /tmp/smoke $so
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* In the table's order; what is not called here has no type. */
struct table {
	void *data;
	void (*free)(void *);
	int (*socket)(void *, int, int, int);
	void *bind, *listen, *accept;
	int (*connect)(void *, int, const struct sockaddr *, socklen_t);
	void *io[10];
	int (*fcntl)(void *, int, int, ...);
	void *ioctl;
	int (*close)(void *, int);
	void *rest[4];
	int (*send)(void *, const void *, size_t);
	int (*receive)(void *, void *, size_t *, long long *);
	int (*usleep)(void *, unsigned);
	int (*gettimeofday)(void *, struct timeval *, void *);
	void *more[5];
};

int main(int argc, char **argv)
{
	assert(argc == 2);
	void *so = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND);
	if (!so) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	void (*init)(const char *, struct table *) = dlsym(so, "packetdrill_interface_init");
	assert(init);
	struct table t;
	init("profile=linux,ip_version=ipv4,mtu=1500", &t);
	assert(sizeof t == 33 * sizeof(void *));

	int fd = t.socket(t.data, AF_INET, SOCK_STREAM, 0);
	assert(fd > 2 && t.fcntl(t.data, fd, 4 /* F_SETFL */, 2 | 04000) == 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(8080) };
	inet_pton(AF_INET, "192.0.2.1", &to.sin_addr);
	assert(t.connect(t.data, fd, (void *)&to, sizeof to) == -1 && errno == EINPROGRESS);

	unsigned char packet[65536];
	size_t n = sizeof packet;
	long long at;
	struct timeval now;
	assert(t.gettimeofday(t.data, &now, NULL) == 0);
	assert(t.receive(t.data, packet, &n, &at) == 0 && n == 60 && packet[33] == 2 /* SYN */);
	assert(now.tv_sec * 1000000LL + now.tv_usec - at < 100);

	struct tcp_info info;
	socklen_t len = sizeof info;
	int got = getsockopt(fd, SOL_TCP, TCP_INFO, &info, &len);
	if (got == 0)
		assert(info.tcpi_state == 2 && info.tcpi_snd_cwnd == 10);
	else
		puts("getsockopt is the kernel's: the file is not preloaded");
	assert(t.close(t.data, fd) == 0);
	t.free(t.data);
	puts("ok");
	return 0;
}
