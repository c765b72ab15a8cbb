/* What a C node does to an Erlang node while its traffic is recorded. */
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <ei.h>

#define CHECK(call) do { if ((call) < 0) { fprintf(stderr, "%s failed\n", #call); return 1; } } while (0)

int main(int argc, char **argv) {
    ei_cnode node;
    ei_x_buff message, answer;
    erlang_msg head;
    struct in_addr here = { htonl(INADDR_LOOPBACK) };
    int socket;

    if (argc != 3) return 2;
    CHECK(ei_init());
    CHECK(ei_connect_xinit(&node, "localhost", "c", "c@localhost", &here, argv[2], 7));
    CHECK(socket = ei_connect(&node, argv[1]));

    /* {hello, [1,-1], "text", 1.5} to a name. */
    CHECK(ei_x_new_with_version(&message));
    CHECK(ei_x_format_wo_ver(&message, "{hello,[1,~i],~s,~d}", -1, "text", 1.5));
    CHECK(ei_reg_send(&node, socket, "nobody", message.buff, message.index));

    /* A question, whose answer is heard: {rex, "ab"}. */
    CHECK(ei_x_new(&answer));
    message.index = 0;
    CHECK(ei_x_format_wo_ver(&message, "[~s,~s]", "a", "b"));
    CHECK(ei_rpc(&node, socket, "lists", "append", message.buff, message.index, &answer));

    /* Its own pid registers itself there, and is sent a message by pid. */
    message.index = 0;
    CHECK(ei_x_encode_version(&message));
    CHECK(ei_x_encode_list_header(&message, 2));
    CHECK(ei_x_encode_pid(&message, ei_self(&node)));
    CHECK(ei_x_encode_atom(&message, "welcome"));
    CHECK(ei_x_encode_empty_list(&message));
    CHECK(ei_rpc_to(&node, socket, "erlang", "send", message.buff + 1, message.index - 1));
    for (int heard = 0; heard < 2; heard++) {
        answer.index = 0;
        /* What has come is shown, to compare with what was recorded. */
        int kind = ei_xreceive_msg_tmo(socket, &head, &answer, 5000);
        fprintf(stderr, "heard %d of type %ld\n", kind, head.msgtype);
    }
    return close(socket);
}
