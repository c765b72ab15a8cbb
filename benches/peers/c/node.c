/* A node in C, over Erlang's own library `ei`: it takes messages {Number, Pid} and answers calls of a
 * gen_server, or sends and asks. Arguments: the workload, what it does (0: nothing, 1: sends, 2: asks), whom
 * it does that to (always one of Erlang's), and the port of that one. It obeys lines as bench.erl does. */
#include <arpa/inet.h>
#include <ei.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Calls are counted by how long they took, half a microsecond to a bucket. */
enum { BUCKETS = 20000, BUCKET_NS = 500 };
static unsigned buckets[BUCKETS + 1];
static ei_cnode node;

static void fail(const char *what) {
    fprintf(stderr, "the C node has failed: %s\n", what);
    exit(1);
}

/* Passes over the version and a tuple's head. */
static int begin(const char *bytes, int *at) {
    int version, arity;
    *at = 0;
    if (ei_decode_version(bytes, at, &version) || ei_decode_tuple_header(bytes, at, &arity)) return -1;
    return arity;
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Answers {'$gen_call', {Pid, Tag}, {next, Number}}: the tag goes back as it came. */
static void answer(int fd, const char *bytes, int at, ei_x_buff *out) {
    erlang_pid pid;
    char name[MAXATOMLEN_UTF8];
    int arity, tag, behind;
    long number;
    if (ei_decode_atom(bytes, &at, name) || ei_decode_tuple_header(bytes, &at, &arity) ||
        ei_decode_pid(bytes, &at, &pid))
        fail("no call");
    tag = behind = at;
    if (ei_skip_term(bytes, &behind)) fail("no tag");
    at = behind;
    if (ei_decode_tuple_header(bytes, &at, &arity) || ei_decode_atom(bytes, &at, name) ||
        ei_decode_long(bytes, &at, &number))
        fail("no question");
    out->index = 0;
    ei_x_encode_version(out);
    ei_x_encode_tuple_header(out, 2);
    ei_x_append_buf(out, bytes + tag, behind - tag);
    ei_x_encode_long(out, number + 1);
    if (ei_send(fd, &pid, out->buff, out->index)) fail("sending an answer");
}

/* Takes and answers messages of one connection. */
static void *serve(void *listener) {
    ErlConnect peer;
    erlang_msg message;
    ei_x_buff in, out;
    long count = 0, number;
    int fd = ei_accept(&node, (int)(long)listener, &peer);
    if (fd < 0) fail("accepting");
    ei_x_new(&in);
    ei_x_new(&out);
    for (;;) {
        erlang_pid pid;
        int at, kind = (in.index = 0, ei_xreceive_msg(fd, &message, &in));
        if (kind == ERL_ERROR) return NULL;
        if (kind != ERL_MSG || message.msgtype != ERL_REG_SEND) continue;
        if (begin(in.buff, &at) == 3) {
            answer(fd, in.buff, at, &out);
            continue;
        }
        if (ei_decode_long(in.buff, &at, &number) || ei_decode_pid(in.buff, &at, &pid)) fail("no message");
        count++;
        if (number == 0) {
            out.index = 0;
            ei_x_encode_version(&out);
            ei_x_encode_long(&out, count);
            if (ei_send(fd, &pid, out.buff, out.index)) fail("sending a count");
            count = 0;
        }
    }
}

/* Waits for the next message to a process, passes over its version, and returns where it begins. */
static int receive(int fd, ei_x_buff *in) {
    erlang_msg message;
    int at = 0, version, kind;
    do {
        in->index = 0;
        kind = ei_xreceive_msg(fd, &message, in);
        if (kind == ERL_ERROR) fail("receiving");
    } while (kind != ERL_MSG || message.msgtype != ERL_SEND);
    if (ei_decode_version(in->buff, &at, &version)) fail("no term");
    return at;
}

static long send_all(int fd, long ops, ei_x_buff *in, ei_x_buff *out) {
    long count;
    for (long left = ops - 1; left >= 0; left--) {
        out->index = 0;
        ei_x_encode_version(out);
        ei_x_encode_tuple_header(out, 2);
        ei_x_encode_long(out, left);
        ei_x_encode_pid(out, ei_self(&node));
        if (ei_reg_send(&node, fd, "sink", out->buff, out->index)) fail("sending");
    }
    int at = receive(fd, in);
    if (ei_decode_long(in->buff, &at, &count)) fail("no count");
    return count;
}

static long ask_all(int fd, long ops, ei_x_buff *in, ei_x_buff *out) {
    long number = 0;
    memset(buckets, 0, sizeof buckets);
    for (long done = 0; done < ops; done++) {
        erlang_ref reference, answered;
        int at, arity;
        long long start = now(), bucket;
        if (ei_make_ref(&node, &reference)) fail("making a reference");
        out->index = 0;
        ei_x_encode_version(out);
        ei_x_encode_tuple_header(out, 3);
        ei_x_encode_atom(out, "$gen_call");
        ei_x_encode_tuple_header(out, 2);
        ei_x_encode_pid(out, ei_self(&node));
        ei_x_encode_ref(out, &reference);
        ei_x_encode_tuple_header(out, 2);
        ei_x_encode_atom(out, "next");
        ei_x_encode_long(out, number);
        if (ei_reg_send(&node, fd, "server", out->buff, out->index)) fail("asking");
        at = receive(fd, in);
        if (ei_decode_tuple_header(in->buff, &at, &arity) || ei_decode_ref(in->buff, &at, &answered) ||
            ei_decode_long(in->buff, &at, &number))
            fail("no answer");
        bucket = (now() - start) / BUCKET_NS;
        buckets[bucket < BUCKETS ? bucket : BUCKETS]++;
    }
    return number;
}

/* A field of the kernel's account of this process, in KiB. */
static long status(const char *field) {
    char line[256];
    long value = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, field, strlen(field))) value = atol(line + strlen(field) + 1);
    if (file) fclose(file);
    return value;
}

static void say(long result) {
    struct rusage usage;
    const char *comma = "";
    getrusage(RUSAGE_SELF, &usage);
    long long micros = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL +
                       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    printf("{\"result\":%ld,\"cpu_ns\":%lld,\"peak_rss_kib\":%ld,\"rss_kib\":%ld,\"latency\":[", result,
           micros * 1000, status("VmHWM"), status("VmRSS"));
    for (int bucket = 0; bucket <= BUCKETS; bucket++)
        if (buckets[bucket]) printf("%s[%d,%u]", comma, (bucket + 1) * BUCKET_NS, buckets[bucket]), comma = ",";
    printf("]}\n");
    fflush(stdout);
}

int main(int count, char **arguments) {
    struct in_addr loopback = { htonl(INADDR_LOOPBACK) };
    char line[64];
    if (count < 5) fail("four arguments are needed");
    int does = atoi(arguments[2]), port = 0, fd = -1;
    const char *alive = does ? "caller" : "ours", *name = does ? "caller@localhost" : "ours@localhost";
    ei_x_buff in, out;
    ei_init();
    ei_x_new(&in);
    ei_x_new(&out);
    if (ei_connect_xinit(&node, "localhost", alive, name, &loopback, "bench", 1)) fail("making a node");
    if (does) {
        fd = ei_xconnect_host_port(&node, &loopback, atoi(arguments[4]));
        if (fd < 0) fail("connecting");
    } else {
        pthread_t thread;
        int listener = ei_xlisten(&node, &loopback, &port, 5);
        if (listener < 0 || pthread_create(&thread, NULL, serve, (void *)(long)listener)) fail("listening");
    }
    printf("{\"port\":%d}\n", port);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        long ops = atol(line);
        say(does == 1 ? send_all(fd, ops, &in, &out) : does == 2 ? ask_all(fd, ops, &in, &out) : 0);
    }
    return 0;
}
