//! A store of keys and values that Erlang and Elixir programs call as they call a `gen_server`.
//!
//! Started without arguments it says what to type in another terminal. With `--self-test` it starts an `erl`
//! itself, has it call, and ends.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::process::{Command, Stdio};

use twoply::Wait;
use twoply::actor::{self, Process};
use twoply::node::Node;
use twoply::node::wire::{FromTerm, Term};
use twoply::promise::Resolver;

/// The messages of the store, as Erlang writes them.
#[derive(FromTerm)]
enum Message {
    /// `gen_server:cast(Store, {put, <<"tea">>, Value})`
    #[term(cast)]
    Put(String, Term),
    /// `gen_server:call(Store, {get, <<"tea">>})`, answered by the value or `undefined`
    #[term(call)]
    Get(String, Resolver<Option<Term>>),
    /// `gen_server:call(Store, keys)`
    #[term(call)]
    Keys(Resolver<Vec<String>>),
    /// `gen_server:cast(Store, stop)`
    #[term(cast)]
    Stop,
}

async fn store(mut me: Process<Message>) {
    let mut entries = BTreeMap::new();
    while let Some(message) = me.receive().await.message() {
        match message {
            Message::Put(key, value) => drop(entries.insert(key, value)),
            // Whoever has asked may have gone; nobody is told then.
            Message::Get(key, answer) => drop(answer.resolve(entries.get(&key).cloned())),
            Message::Keys(answer) => drop(answer.resolve(entries.keys().cloned().collect())),
            Message::Stop => return,
        }
    }
}

/// What the Erlang node of the self-test does, and what it must print.
const CALLS: &str = r#"
    Store = {store, 'kv@localhost'},
    pong = net_adm:ping('kv@localhost'),
    gen_server:cast(Store, {put, <<"tea">>, {pots, 2}}),
    gen_server:cast(Store, {put, <<"milk">>, [cold]}),
    {pots, 2} = gen_server:call(Store, {get, <<"tea">>}),
    undefined = gen_server:call(Store, {get, <<"sugar">>}),
    [<<"milk">>, <<"tea">>] = gen_server:call(Store, keys),
    Monitor = monitor(process, Store),
    gen_server:cast(Store, stop),
    receive {'DOWN', Monitor, process, Store, normal} -> io:format("all answers are right~n") end,
    halt(0).
"#;

fn main() -> Result<(), Box<dyn Error>> {
    // No port mapper is needed: the other node is told the port.
    let node = Node::builder("kv@localhost").cookie("biscuit").without_epmd().start().wait()?;
    let store = actor::spawn(store)?;
    node.register("store", &store)?;
    let port = node.local_addr().port().to_string();
    let arguments = ["-sname", "shell@localhost", "-setcookie", "biscuit", "-start_epmd", "false"];
    let finding = ["-erl_epmd_port", &port, "-dist_listen", "false"];

    if std::env::args().any(|argument| argument == "--self-test") {
        let mut erl = Command::new("erl");
        erl.args(arguments).args(finding).args(["-noinput", "-eval", CALLS]).stdin(Stdio::null());
        if !erl.status()?.success() {
            return Err("the Erlang node has got another answer".into());
        }
    } else {
        println!("In another terminal: erl {} {}", arguments.join(" "), finding.join(" "));
        println!("There: gen_server:cast({{store, kv@localhost}}, {{put, <<\"tea\">>, 2}}).");
        println!("       gen_server:call({{store, kv@localhost}}, {{get, <<\"tea\">>}}).");
        println!("       gen_server:cast({{store, kv@localhost}}, stop).");
    }
    println!("the store has ended: {}", store.ended().wait());
    Ok(())
}
