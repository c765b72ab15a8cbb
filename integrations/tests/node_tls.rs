//! A node of ours and one of Erlang's, inside TLS: certificates of an authority of the test's own, on both
//! sides; and who has none, or one of somebody else's, is not met.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::sync::OnceLock;

use twoply::Wait;
use twoply::actor::Process;
use twoply::channel::Receiver;
use twoply::node::{Builder, ConnectError, Event, Node, Tls, TlsError};
use twoply_tests::{Dir, ErlangNode, Heap, Systems, eventually, laws, start_node};

use certificates::{Authority, Pem};

use self::functions::{
    a_call_that_has_no_result_says_why, a_process_is_linked_from_its_first_moment,
    a_process_is_monitored_from_its_first_moment, erlang_calls_functions_of_ours,
    erlang_starts_processes_of_ours, we_call_functions_of_erlang,
};
use self::hostile::{
    a_link_that_crosses_an_unlink_is_none, a_node_that_comes_again_ends_its_old_connection,
    a_peer_that_reads_slowly_holds_up_who_sends_to_it, a_peer_that_sends_no_whole_frame_is_given_up,
    a_process_that_does_not_keep_up_stops_its_own_peer_alone,
    a_silent_peer_is_given_up_and_one_that_ticks_is_not, a_stream_of_small_messages_may_pause_at_any_time,
    strangers_are_refused_and_leave_nothing, what_a_peer_invents_is_forgotten,
    what_breaks_the_protocol_ends_the_connection_and_nothing_else,
};
use self::memory::{
    a_connection_that_has_ended_keeps_no_memory, a_hostile_peer_takes_little_memory,
    who_does_not_keep_up_takes_little_memory,
};
use self::questions::{a_gen_server_is_asked_by_its_reference, processes_go_out_and_come_back};
use self::relations::{
    a_question_is_answered_as_by_gen_server, erlang_asks_as_it_asks_a_gen_server, links_end_both_sides,
    messages_go_both_ways, monitors_are_told_of_both_sides, the_end_of_a_connection_is_told_once,
};
use self::scopes::erlang_and_this_node_know_each_others_members;

#[path = "../../tests/tests/node_memory/bombs.rs"]
mod bombs;
#[path = "support/certificates.rs"]
mod certificates;
#[allow(dead_code, reason = "not all of them are repeated here")]
#[path = "../../tests/tests/node_rpc/functions.rs"]
mod functions;
#[path = "../../tests/tests/node_faults/hostile.rs"]
mod hostile;
#[path = "../../tests/tests/node_faults/memory.rs"]
mod memory;
#[allow(dead_code, reason = "not all of them are repeated here")]
#[path = "../../tests/tests/node_ask/questions.rs"]
mod questions;
#[path = "support/reach.rs"]
mod reach;
#[allow(dead_code, reason = "not all of them are repeated here")]
#[path = "../../tests/tests/node/relations.rs"]
mod relations;
#[allow(dead_code, reason = "not all of them are repeated here")]
#[path = "../../tests/tests/node_pg/scopes.rs"]
mod scopes;
#[allow(dead_code, reason = "not all of them are repeated here")]
#[path = "../../tests/tests/node_faults/scripted.rs"]
mod scripted;

#[global_allocator]
static HEAP: Heap = Heap::new();

// What holds without TLS holds inside of it. Those that have a connection end are on two systems.
laws! {
    two_workers {
        links_end_both_sides,
        the_end_of_a_connection_is_told_once,
        erlang_and_this_node_know_each_others_members,
        what_breaks_the_protocol_ends_the_connection_and_nothing_else,
        a_node_that_comes_again_ends_its_old_connection,
        what_a_peer_invents_is_forgotten,
        a_link_that_crosses_an_unlink_is_none,
        a_peer_that_reads_slowly_holds_up_who_sends_to_it,
        a_process_that_does_not_keep_up_stops_its_own_peer_alone,
        a_peer_that_sends_no_whole_frame_is_given_up,
        a_stream_of_small_messages_may_pause_at_any_time,
        a_hostile_peer_takes_little_memory,
        who_does_not_keep_up_takes_little_memory,
        a_connection_that_has_ended_keeps_no_memory,
    }
    native {
        messages_go_both_ways,
        a_question_is_answered_as_by_gen_server,
        monitors_are_told_of_both_sides,
        erlang_asks_as_it_asks_a_gen_server,
        a_gen_server_is_asked_by_its_reference,
        processes_go_out_and_come_back,
        we_call_functions_of_erlang,
        a_call_that_has_no_result_says_why,
        erlang_calls_functions_of_ours,
        erlang_starts_processes_of_ours,
        a_process_is_linked_from_its_first_moment,
        a_process_is_monitored_from_its_first_moment,
        strangers_are_refused_and_leave_nothing,
        a_silent_peer_is_given_up_and_one_that_ticks_is_not,
    }
}

laws! {
    everywhere {
        nodes_meet_inside_tls_from_either_side,
        who_shows_no_certificate_of_the_authority_is_refused,
        a_certificate_is_for_the_host_in_the_name,
        a_one_sided_node_takes_who_shows_none,
        both_directions_carry_much_at_once,
        a_plain_node_beyond_this_host_says_so,
    }
}

const COOKIE: &str = "biscuit";

/// The parts of a configuration of Erlang's.
const VERIFIES: &str = "{verify, verify_peer}";
const WANTS_ONE: &str = "{verify, verify_peer}, {fail_if_no_peer_cert, true}";
const OLD: &str = "{versions, ['tlsv1.2']}";
/// With new keys after each 100 kB.
const NEW: &str = "{versions, ['tlsv1.3']}, {key_update_at, 100000}";

/// Starts an Erlang node inside TLS with this certificate, which trusts this authority. It may show none
/// where it connects.
fn erlang(
    certificate: &Pem,
    trusts: &Authority,
    shows_one: bool,
    version: &str,
    tick_seconds: u32,
) -> Option<(ErlangNode, Dir)> {
    let ssl = "halt(case code:lib_dir(ssl) of {error, _} -> 1; _ -> 0 end)";
    let mut found = std::process::Command::new("erl");
    if !found
        .args(["-noinput", "-boot", "no_dot_erlang", "-eval", ssl])
        .status()
        .is_ok_and(|status| status.success())
    {
        twoply_tests::skip("there is no Erlang with TLS to connect to");
        return None;
    }
    let dir = Dir::new();
    let put = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let authority = format!("{{cacertfile, \"{}\"}}, {version}", put("authority.pem", &trusts.pem));
    let own = format!(
        "{{certfile, \"{}\"}}, {{keyfile, \"{}\"}}",
        put("own.pem", &certificate.certificate),
        put("key.pem", &certificate.key)
    );
    let shown = if shows_one { format!("{own}, ") } else { String::new() };
    let options = format!(
        "[{{server, [{own}, {authority}, {WANTS_ONE}]}}, {{client, [{shown}{authority}, {VERIFIES}]}}]."
    );
    let options = put("options", &options);
    let arguments = ["-proto_dist", "inet_tls", "-ssl_dist_optfile", &options].map(str::to_owned);
    Some((ErlangNode::start_with(COOKIE, tick_seconds, arguments.to_vec())?, dir))
}

/// How the nodes of the laws of [`relations`] and the others meet: all of them are of one authority.
mod way {
    use super::*;

    pub(crate) fn authority() -> &'static Authority {
        static AUTHORITY: OnceLock<Authority> = OnceLock::new();
        AUTHORITY.get_or_init(Authority::new)
    }

    pub(crate) fn erlang(tick_seconds: u32) -> Option<ErlangNode> {
        let (authority, version) = (authority(), NEW);
        let (node, dir) =
            super::erlang(&authority.pem_for("localhost"), authority, true, version, tick_seconds)?;
        Some(node.with(dir))
    }

    pub(crate) fn ours(on: &Systems, builder: Builder, erlang: Option<&ErlangNode>) -> Node {
        let tls = mutual(&authority().pem_for("localhost"), authority());
        start_node(on, builder.cookie(COOKIE).tls(tls), erlang)
    }
}

fn mutual(certificate: &Pem, trusts: &Authority) -> Tls {
    let Pem { certificate, key } = certificate;
    Tls::mutual(certificate.as_bytes(), key.as_bytes(), trusts.pem.as_bytes()).unwrap()
}

fn start(on: &Systems, name: &str, epmd: Option<SocketAddr>, tls: Option<Tls>) -> Node {
    let builder = Node::builder(name).cookie(COOKIE);
    let builder = match epmd {
        Some(epmd) => builder.epmd(epmd),
        None => builder.without_epmd(),
    };
    let builder = match tls {
        Some(tls) => builder.tls(tls),
        None => builder,
    };
    on.here().spawn(builder.start()).wait().unwrap().unwrap()
}

fn connect(on: &Systems, node: &Node, name: &str) -> Result<(), ConnectError> {
    let (node, name) = (node.clone(), name.to_owned());
    on.here().spawn(async move { node.connect(&name).await.map(drop) }).wait().unwrap()
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv().wait().unwrap()
}

fn nodes_meet_inside_tls_from_either_side(on: &Systems) {
    [NEW, OLD].into_iter().for_each(|version| nodes_meet_inside(version, on));
}

fn nodes_meet_inside(version: &str, on: &Systems) {
    let authority = Authority::new();
    let Some((mut erlang, _dir)) = erlang(&authority.pem_for("localhost"), &authority, true, version, 60)
    else {
        return;
    };
    let tls = mutual(&authority.pem_for("localhost"), &authority);
    let node = start(on, "ours@localhost", Some(erlang.epmd_addr), Some(tls));
    let (heard, hearing) = std::sync::mpsc::channel();
    let body = async move |mut me: Process<(u32, Vec<u8>)>| {
        while let Some((n, bytes)) = me.receive().await.message() {
            let _ = heard.send((n, bytes.len()));
        }
    };
    let process = twoply_tests::builder(on).spawn(body).unwrap();
    node.register("sink", &process).unwrap();
    let events = node.events();
    for from_here in [true, false] {
        if from_here {
            connect(on, &node, &erlang.name).unwrap();
        } else {
            assert_eq!(erlang.eval("net_adm:ping(ours@localhost)"), "pong");
        }
        assert!(matches!(next(&events), Event::Up { name } if name == erlang.name));
        // Inside TLS it answers before its own processes have agreed that we are there.
        eventually("it has us", || erlang.eval("nodes(hidden)") == "[ours@localhost]");
        erlang.eval("catch register(shell, self())");
        let there = node.connected(&erlang.name).unwrap().process::<(u32, Vec<u8>)>("shell");
        // Both sides get many small ones and some that no record holds.
        erlang.eval(
            "[{sink, ours@localhost} ! {N, lists:duplicate(N * 300, 7)} || N <- lists:seq(0, 100)], ok",
        );
        let sender = twoply_tests::builder(on).spawn(async move |_: Process<()>| {
            for n in 0..=100 {
                there.send((n, vec![7; 300 * n as usize])).await.unwrap();
            }
        });
        sender.unwrap().ended().wait();
        let all = "[N = length(L) div 300 || N <- lists:seq(0, 100), \
                   {_, L} <- [receive {N, _} = It -> It after 30000 -> timeout end]], ok";
        assert_eq!(erlang.eval(all), "ok");
        for n in 0..=100 {
            assert_eq!(hearing.recv().unwrap(), (n, 300 * n as usize));
        }
        assert!(node.disconnect(&erlang.name));
        assert!(matches!(next(&events), Event::Down { .. }));
        eventually("the peer sees the end", || erlang.eval("nodes(hidden)") == "[]");
    }
}

fn who_shows_no_certificate_of_the_authority_is_refused(on: &Systems) {
    let (authority, other) = (Authority::new(), Authority::new());
    let Some((mut erlang, _dir)) = erlang(&authority.pem_for("localhost"), &authority, true, NEW, 60) else {
        return;
    };
    // We do not trust it; it does not trust us; and without TLS nobody is met.
    let none = start(on, "plain@localhost", Some(erlang.epmd_addr), None);
    let foreign = mutual(&other.pem_for("localhost"), &other);
    let foreign = start(on, "foreign@localhost", Some(erlang.epmd_addr), Some(foreign));
    let unknown = mutual(&other.pem_for("localhost"), &authority);
    let unknown = start(on, "unknown@localhost", Some(erlang.epmd_addr), Some(unknown));
    for (node, who) in [(&none, "plain"), (&foreign, "foreign"), (&unknown, "unknown")] {
        let events = node.events();
        assert!(connect(on, node, &erlang.name).is_err());
        if who != "unknown" {
            assert_eq!(erlang.eval(&format!("net_adm:ping({who}@localhost)")), "pang");
            assert!(matches!(next(&events), Event::Refused { name: None, .. }));
        }
        assert!(node.nodes().is_empty());
    }
    assert_eq!(erlang.eval("nodes(hidden)"), "[]");
    // It still meets whom it is to meet.
    let member = mutual(&authority.pem_for("localhost"), &authority);
    let member = start(on, "member@localhost", Some(erlang.epmd_addr), Some(member));
    connect(on, &member, &erlang.name).unwrap();
}

fn a_certificate_is_for_the_host_in_the_name(on: &Systems) {
    let authority = Authority::new();
    let Some((mut erlang, _dir)) = erlang(&authority.pem_for("elsewhere"), &authority, true, NEW, 60) else {
        return;
    };
    let tls = mutual(&authority.pem_for("localhost"), &authority);
    let node = start(on, "ours@localhost", Some(erlang.epmd_addr), Some(tls));
    let events = node.events();
    let error = connect(on, &node, &erlang.name).unwrap_err();
    assert!(
        matches!(&error, ConnectError::Io(error) if error.to_string().contains("not valid for name")),
        "{error}"
    );
    assert_eq!(erlang.eval("net_adm:ping(ours@localhost)"), "pang");
    let Event::Refused { name, why } = next(&events) else { panic!("it was not refused") };
    assert_eq!((name, why), (Some(erlang.name.clone()), ConnectError::Certificate.to_string()));
}

fn a_one_sided_node_takes_who_shows_none(on: &Systems) {
    let authority = Authority::new();
    let Some((mut erlang, _dir)) = erlang(&authority.pem_for("localhost"), &authority, false, NEW, 60) else {
        return;
    };
    let own = authority.pem_for("localhost");
    let strict = start(on, "strict@localhost", Some(erlang.epmd_addr), Some(mutual(&own, &authority)));
    let events = strict.events();
    assert_eq!(erlang.eval("net_adm:ping(strict@localhost)"), "pang");
    assert!(matches!(next(&events), Event::Refused { name: None, .. }));
    let Pem { certificate, key } = &own;
    let tls = Tls::one_sided(certificate.as_bytes(), key.as_bytes(), authority.pem.as_bytes()).unwrap();
    let _open = start(on, "open@localhost", Some(erlang.epmd_addr), Some(tls));
    assert_eq!(erlang.eval("net_adm:ping(open@localhost)"), "pong");
    // What is no certificate is told at once.
    let nothing = Tls::mutual(b"", key.as_bytes(), authority.pem.as_bytes()).unwrap_err();
    assert!(matches!(nothing, TlsError::Pem(_)));
    assert!(!Box::<dyn Error + Send + Sync>::from(nothing).to_string().is_empty());
    let of_another = authority.pem_for("localhost").key;
    let mixed = Tls::mutual(certificate.as_bytes(), of_another.as_bytes(), authority.pem.as_bytes());
    assert!(matches!(mixed, Err(TlsError::Certificates(_))));
}

fn both_directions_carry_much_at_once(on: &Systems) {
    const COUNT: usize = 60;
    let authority = Authority::new();
    let tls = mutual(&authority.pem_for("localhost"), &authority);
    let nodes = ["one", "two"].map(|name| start(on, &format!("{name}@localhost"), None, Some(tls.clone())));
    nodes[0].add_peer(nodes[1].name(), nodes[1].local_addr());
    connect(on, &nodes[0], nodes[1].name()).unwrap();
    let (heard, hearing) = std::sync::mpsc::channel();
    let mut senders = Vec::new();
    for (here, there) in [(0, 1), (1, 0)] {
        let heard = heard.clone();
        let body = async move |mut me: Process<Vec<u8>>| {
            for n in 0..COUNT {
                let bytes = me.receive().await.message().unwrap();
                let whole = bytes.iter().all(|byte| *byte == n as u8);
                heard.send((bytes.len(), whole)).unwrap();
            }
        };
        nodes[here].register("sink", &twoply_tests::builder(on).spawn(body).unwrap()).unwrap();
        let peer = nodes[there].name().to_owned();
        eventually("both know that they are connected", || nodes[here].connected(&peer).is_some());
        let sink = nodes[here].connected(&peer).unwrap().process::<Vec<u8>>("sink");
        senders.push(move || async move {
            for n in 0..COUNT {
                sink.send(vec![n as u8; 50_000]).await.unwrap();
            }
        });
    }
    let senders: Vec<_> = senders.into_iter().map(|send| on.here().spawn(send())).collect();
    senders.into_iter().for_each(|sender| sender.wait().unwrap());
    for _ in 0..2 * COUNT {
        assert_eq!(hearing.recv().unwrap(), (50_000, true));
    }
}

fn a_plain_node_beyond_this_host_says_so(on: &Systems) {
    let output = on.in_child(|| {
        let system = on.kind().build();
        for (name, address) in [("beyond@localhost", "0.0.0.0:0"), ("here@localhost", "127.0.0.1:0")] {
            let builder = Node::builder(name).cookie(COOKIE).without_epmd().listen(address.parse().unwrap());
            system.spawn(builder.start()).wait().unwrap().unwrap();
        }
    });
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the node beyond@localhost") && said.contains("without TLS"), "{said}");
    assert!(!said.contains("the node here@localhost"), "{said}");
}
