//! A node of ours and one of Elixir's: questions, casts, maps and `nil`, both ways.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use twoply_core::Wait;
use twoply_core::actor::Process;
use twoply_core::promise::Resolver;
use twoply_node::Node;
use twoply_node::wire::{Atom, FromTerm, Nilable, ToTerm};
use twoply_tests::{ErlangNode, Systems, laws};

laws! { native { gen_server_asks_and_is_asked } }

const COOKIE: &str = "biscuit";

/// Asks a process of ours, says what came of it, and is asked.
const SCRIPT: &str = r#"
defmodule Counter do
  use GenServer
  def init(count), do: {:ok, count}
  def handle_call({:add, n}, _from, count), do: {:reply, {:ok, count + n}, count + n}
  def handle_call(:crash, _from, _count), do: raise("ouch")
  def handle_cast({:add, n}, count), do: {:noreply, count + n}
end

{:ok, _} = GenServer.start(Counter, 40, name: Counter)
shop = {:shop, :"ours@localhost"}
IO.puts(inspect(GenServer.call(shop, {:put, %{name: "tea", count: 2}})))
IO.puts(inspect(GenServer.call(shop, {:find, "tea"})))
IO.puts(inspect(GenServer.call(shop, {:find, "milk"})))
:ok = GenServer.cast(shop, :forget)
IO.puts(inspect(GenServer.call(shop, {:find, "tea"})))
IO.puts(inspect(Node.list(:hidden)))
try do
  GenServer.call({:nobody, :"ours@localhost"}, :anything)
catch
  :exit, {:noproc, _} -> IO.puts("noproc")
end
IO.read(:stdio, :line)
"#;

#[derive(Clone, Debug, PartialEq, ToTerm, FromTerm)]
#[term(crate = twoply_node)]
struct Item {
    name: String,
    count: u32,
}

#[derive(FromTerm)]
#[term(crate = twoply_node)]
enum Ask {
    /// Is told how many items there are.
    #[term(call)]
    Put(Item, Resolver<Result<usize, String>>),
    #[term(call)]
    Find(String, Resolver<Nilable<Item>>),
    #[term(cast)]
    Forget,
}

fn gen_server_asks_and_is_asked(on: &Systems) {
    let is_there =
        Command::new("elixir").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if is_there.is_err() {
        return twoply_tests::skip("there is no Elixir to connect to");
    }
    // For its port mapper.
    let Some(erlang) = ErlangNode::start(COOKIE, 60) else { return };
    let builder = Node::builder("ours@localhost").cookie(COOKIE).epmd(erlang.epmd_addr);
    let node = on.here().spawn(builder.start()).wait().unwrap().unwrap();
    let body = async |mut me: Process<Ask>| {
        let mut items = Vec::<Item>::new();
        while let Some(ask) = me.receive().await.message() {
            match ask {
                Ask::Put(item, answer) => {
                    items.push(item);
                    let _ = answer.resolve(Ok(items.len()));
                }
                Ask::Find(name, answer) => {
                    let found = items.iter().find(|item| item.name == name).cloned();
                    let _ = answer.resolve(Nilable(found));
                }
                Ask::Forget => items.clear(),
            }
        }
    };
    node.register("shop", &twoply_tests::builder(on).spawn(body).unwrap()).unwrap();

    let name = format!("elixir{}@localhost", erlang.process());
    let mut elixir = Command::new("elixir")
        .args(["--sname", &name, "--cookie", COOKIE])
        .args(["--erl", "-start_epmd false -kernel logger_level none inet_dist_use_interface {127,0,0,1}"])
        .args(["-e", SCRIPT])
        .env("ERL_EPMD_PORT", erlang.epmd_addr.port().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(elixir.stdout.take().unwrap());
    let said: Vec<String> = out.lines().map(Result::unwrap).take(6).collect();
    let tea = r#"%{count: 2, name: "tea"}"#;
    assert_eq!(said, ["{:ok, 1}", tea, "nil", "nil", "[:ours@localhost]", "noproc"]);

    let remote = node.connected(&name).unwrap();
    let add = |n: u32| (Atom::new("add").unwrap(), n);
    assert_eq!(remote.call::<Result<u32, String>>("Elixir.Counter", &add(2)).wait(), Ok(Ok(42)));
    remote.process("Elixir.Counter").send((Atom::new("$gen_cast").unwrap(), add(8))).wait().unwrap();
    assert_eq!(remote.call::<Result<u32, String>>("Elixir.Counter", &add(0)).wait(), Ok(Ok(50)));
    let crash = remote.call::<u32>("Elixir.Counter", &Atom::new("crash").unwrap()).wait().unwrap_err();
    assert!(crash.to_string().contains("ouch"), "{crash}");
    elixir.kill().unwrap();
    elixir.wait().unwrap();
}
