//! Work that an Erlang program farms out: it calls a function here, as it calls one of another Erlang node,
//! and each call computes on threads of its own.
//!
//! Started without arguments it says what to type in another terminal. With `--self-test` it starts an `erl`
//! itself, has it call, and ends.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::{Command, Stdio};

use twoply::node::Node;
use twoply::{Wait, native};

/// Counts the primes from `from` up to `to`, the slow way.
fn primes(from: u64, to: u64) -> u64 {
    let is_prime = |n: &u64| *n > 1 && (2..).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (from..to).filter(is_prime).count() as u64
}

/// What the Erlang node of the self-test does, and what it must print.
const CALLS: &str = r#"
    Pool = 'pool@localhost',
    pong = net_adm:ping(Pool),
    25 = erpc:call(Pool, primes, count, [0, 100]),
    Parts = [{N, N + 10000} || N <- lists:seq(0, 190000, 10000)],
    Requests = [erpc:send_request(Pool, primes, count, [From, To]) || {From, To} <- Parts],
    17984 = lists:sum([erpc:receive_response(Request) || Request <- Requests]),
    {badrpc, {'EXIT', {undef, _}}} = rpc:call(Pool, primes, list, [0, 100]),
    io:format("there are 17984 primes below 200000~n"),
    halt(0).
"#;

fn main() -> Result<(), Box<dyn Error>> {
    // No port mapper is needed: the other node is told the port.
    let node = Node::builder("pool@localhost").cookie("biscuit").without_epmd().start().wait()?;
    node.functions().add("primes", "count", async |(from, to): (u64, u64)| {
        // A thread that computes holds up nobody.
        native().spawn_fn(move || primes(from, to)).await.unwrap_or(0)
    });
    let port = node.local_addr().port().to_string();
    let arguments = ["-sname", "shell@localhost", "-setcookie", "biscuit", "-start_epmd", "false"];
    let finding = ["-erl_epmd_port", &port, "-dist_listen", "false"];

    if std::env::args().any(|argument| argument == "--self-test") {
        let mut erl = Command::new("erl");
        erl.args(arguments).args(finding).args(["-noinput", "-eval", CALLS]).stdin(Stdio::null());
        if !erl.status()?.success() {
            return Err("the Erlang node has got another answer".into());
        }
        return Ok(());
    }
    println!("In another terminal: erl {} {}", arguments.join(" "), finding.join(" "));
    println!("There: erpc:call(pool@localhost, primes, count, [0, 1000000]).");
    println!("This ends with the connection.");
    let events = node.events();
    while !matches!(events.recv().wait()?, twoply::node::Event::Down { .. }) {}
    Ok(())
}
