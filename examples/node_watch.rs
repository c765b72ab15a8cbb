//! A watcher of a cluster: it prints which nodes are connected and which are no longer, and who is refused,
//! and whether they answer.
//!
//! Started without arguments it says what to type in another terminal. With `--self-test` it starts Erlang
//! nodes itself, one of them with a wrong cookie, and ends when it has seen them.
#![forbid(unsafe_code)]

use std::error::Error;
use std::process::{Child, Command, Stdio};

use twoply::Wait;
use twoply::node::wire::Atom;
use twoply::node::{Event, Node};

/// Starts an Erlang node that pings this one, and goes.
fn visitor(name: &str, cookie: &str, port: &str) -> std::io::Result<Child> {
    let visit = "io:format(\"~p~n\", [net_adm:ping('watch@localhost')]), timer:sleep(300), halt(0).";
    let mut erl = Command::new("erl");
    erl.args(["-sname", name, "-setcookie", cookie, "-start_epmd", "false", "-erl_epmd_port", port]);
    erl.args(["-dist_listen", "false", "-noinput", "-eval", visit]).stdin(Stdio::null()).spawn()
}

fn main() -> Result<(), Box<dyn Error>> {
    // No port mapper is needed: the other nodes are told the port.
    let node = Node::builder("watch@localhost").cookie("biscuit").without_epmd().start().wait()?;
    let events = node.events();
    let port = node.local_addr().port().to_string();
    let is_test = std::env::args().any(|argument| argument == "--self-test");
    let mut visitors = Vec::new();
    if is_test {
        visitors.push(visitor("friend@localhost", "biscuit", &port)?);
        visitors.push(visitor("stranger@localhost", "wrong", &port)?);
    } else {
        println!("In other terminals: erl -sname shell@localhost -setcookie biscuit -start_epmd false \\");
        println!("    -erl_epmd_port {port} -dist_listen false");
        println!("There: net_adm:ping(watch@localhost).");
    }

    let (mut seen_down, mut seen_refused) = (false, false);
    while !(is_test && seen_down && seen_refused) {
        match events.recv().wait()? {
            Event::Up { name } => {
                let told = node.call::<Atom>(&name, "erlang", "node", &()).wait();
                println!("{name} is connected, and says {told:?}");
            }
            Event::Down { name, why } => {
                println!("{name} is gone: {why}");
                seen_down = true;
            }
            Event::Refused { name, why } => {
                println!("{} is refused: {why}", name.as_deref().unwrap_or("somebody"));
                seen_refused = true;
            }
            event => println!("{event:?}"),
        }
    }
    for mut visitor in visitors {
        visitor.wait()?;
    }
    Ok(())
}
