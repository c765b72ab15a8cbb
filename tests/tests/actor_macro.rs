//! Laws of actors whose messages are written by the attribute `actor`.

use std::collections::BTreeMap;
use std::fmt;

use twoply::actor;
use twoply_core::actor::{Actor, Builder, Context, Down, ExitReason, Pid, ProcessRef};
use twoply_core::channel::Sender;
use twoply_core::promise::Failure;
use twoply_core::{Wait, channel};
use twoply_tests::{Gate, Systems, laws};

laws! {
    and_mixed {
        what_is_told_and_asked_reaches_the_methods_in_order,
        a_question_without_a_result_is_answered_when_it_is_done,
    }
    everywhere {
        the_context_is_no_part_of_a_message,
        an_actor_may_have_type_parameters,
        a_reference_is_the_plain_one_both_ways,
        the_hooks_of_the_impl_are_those_of_the_actor,
        an_error_of_what_is_told_is_the_end_and_of_an_answer_is_an_answer,
        a_method_that_panics_fails_its_question,
        whatever_a_method_is_called_it_is_a_message,
    }
}

/// Starts `actor` on the other side.
fn start<A: Actor>(on: &Systems, actor: A) -> ProcessRef<A::Message> {
    Builder::new().on(on.there().backend()).spawn_actor(actor).unwrap()
}

/// Keeps what it is told.
#[derive(Default)]
struct Log(Vec<String>);

#[actor]
impl Log {
    fn note(&mut self, word: &'static str, times: usize) {
        self.0.extend(std::iter::repeat_n(word.to_owned(), times));
    }

    /// Waits on the way.
    async fn note_late(&mut self, gate: Gate, word: String) {
        gate.opened().await;
        self.0.push(word);
    }

    fn lines(&self) -> Vec<String> {
        self.0.clone()
    }

    async fn count(&self, Wanted(word): Wanted) -> usize {
        self.0.iter().filter(|line| **line == *word).count()
    }

    #[ask]
    #[allow(clippy::unused_unit, reason = "it is no result, either")]
    fn clear(&mut self) -> () {
        self.0.clear();
    }

    fn replace(&mut self, other: Self) -> Self {
        std::mem::replace(self, other)
    }

    fn stop(&mut self, cx: &mut Context<Self>) {
        cx.stop();
    }
}

struct Wanted(&'static str);

fn what_is_told_and_asked_reaches_the_methods_in_order(on: &Systems) {
    let log = LogRef::from(start(on, Log::default()));
    let gate = Gate::new();
    log.note("a", 2).wait().unwrap();
    log.note_late(gate.clone(), "b".to_owned()).wait().unwrap();
    let there = log.clone();
    let asked = on.here().spawn(async move {
        there.note("c", 1).await.unwrap();
        there.lines().await
    });
    gate.open();
    assert_eq!(asked.wait().unwrap().unwrap(), ["a", "a", "b", "c"]);
    assert_eq!(log.count(Wanted("a")).wait().unwrap(), 2);
    let before = log.replace(Log(vec!["d".to_owned()])).wait().unwrap();
    assert_eq!((before.0.len(), log.lines().wait().unwrap()), (4, vec!["d".to_owned()]));
    log.stop().wait().unwrap();
    assert_eq!(log.as_ref().ended().wait(), ExitReason::Normal);
    assert!(matches!(log.lines().wait(), Err(Failure::NoProcess(ExitReason::Normal))));
    assert!(log.note("e", 1).wait().is_err());
}

fn a_question_without_a_result_is_answered_when_it_is_done(on: &Systems) {
    let log = LogRef::from(start(on, Log::default()));
    let gate = Gate::new();
    log.note_late(gate.clone(), "late".to_owned()).wait().unwrap();
    let cleared = {
        let log = log.clone();
        on.here().spawn_fn(move || log.clear().wait())
    };
    assert!(!cleared.is_finished(), "the actor still waits");
    gate.open();
    cleared.wait().unwrap().unwrap();
    assert!(log.lines().wait().unwrap().is_empty());
    log.as_ref().exit(ExitReason::Kill);
}

struct Middle;

#[actor]
impl Middle {
    fn first(&self, cx: &mut Context<Self>, n: u32) -> (Pid, u32) {
        (cx.pid(), n)
    }

    async fn last(&mut self, n: u32, text: String, cx: &mut actor::Context<Middle>) -> (Pid, String) {
        (cx.pid(), format!("{text}{n}"))
    }

    fn plain(&self) -> u32 {
        self.helper(6)
    }

    /// It has no `self`.
    fn new() -> Middle {
        Middle
    }
}

impl Middle {
    fn helper(&self, n: u32) -> u32 {
        n + 1
    }
}

fn the_context_is_no_part_of_a_message(on: &Systems) {
    let middle = MiddleRef::from(start(on, Middle::new()));
    let pid = middle.as_ref().pid();
    assert_eq!(middle.first(1).wait().unwrap(), (pid.clone(), 1));
    assert_eq!(middle.last(2, "n".to_owned()).wait().unwrap(), (pid, "n2".to_owned()));
    assert_eq!(middle.plain().wait().unwrap(), 7);
    // The methods are there as they were.
    assert_eq!(Middle.plain(), 7);
    middle.as_ref().exit(ExitReason::Kill);
}

/// Has a parameter that no message needs.
struct Table<K, V, const N: usize>(BTreeMap<K, V>)
where
    K: Ord;

#[actor]
impl<K: Ord + Send + 'static, V, const N: usize> Table<K, V, N>
where
    V: Clone + Send + fmt::Debug + 'static,
    Self: Sized,
{
    pub(crate) fn put(&mut self, key: K, value: V) -> Option<V> {
        if self.0.len() < N { self.0.insert(key, value) } else { Some(value) }
    }

    pub(crate) fn size(&self) -> usize {
        self.0.len()
    }
}

fn an_actor_may_have_type_parameters(on: &Systems) {
    let table: TableRef<u8, String, 1> = start(on, Table(BTreeMap::new())).into();
    assert_eq!(table.put(1, "one".to_owned()).wait().unwrap(), None);
    assert_eq!(table.put(2, "two".to_owned()).wait().unwrap().as_deref(), Some("two"));
    assert_eq!(table.clone().size().wait().unwrap(), 1);
    table.as_ref().exit(ExitReason::Kill);
}

fn a_reference_is_the_plain_one_both_ways(on: &Systems) {
    let process = start(on, Log::default());
    let log = LogRef::from(process.clone());
    assert_eq!(log.as_ref(), &process);
    assert_eq!(log, log.clone());
    assert_ne!(log, LogRef::from(start(on, Log::default())));
    assert_eq!(format!("{log:?}"), format!("LogRef({process:?})"));
    // A message may be made and sent by itself.
    process.send(LogMessage::Note("a", 1)).wait().unwrap();
    assert_eq!(process.ask(LogMessage::Lines).wait().unwrap(), ["a"]);
    assert_eq!(log.as_ref().try_ask(LogMessage::Lines).unwrap().wait().unwrap(), ["a"]);
    assert_eq!(format!("{:?} {:?}", LogMessage::Note("a", 1), LogMessage::Stop), "Note Stop");
    let plain: ProcessRef<LogMessage> = log.into();
    plain.exit(ExitReason::Kill);
}

struct Hooked(Sender<&'static str>);

#[actor(error = String)]
impl Hooked {
    async fn started(&mut self, _: &mut Context<Self>) -> Result<(), Self::Error> {
        self.0.try_send("started").map_err(|error| error.to_string())
    }

    async fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        let _ = self.0.try_send("stopped");
    }

    async fn down(&mut self, _: Down, cx: &mut Context<Self>) -> Result<(), String> {
        let _ = self.0.try_send("down");
        cx.stop();
        Ok(())
    }

    fn watch(&self, pid: Pid, cx: &mut Context<Self>) {
        cx.monitor(&pid);
    }
}

fn the_hooks_of_the_impl_are_those_of_the_actor(on: &Systems) {
    let (tell, told) = channel::unbounded();
    let hooked = Builder::new().on(on.there().backend()).start_actor(Hooked(tell)).wait().unwrap();
    let hooked = HookedRef::from(hooked);
    assert_eq!(told.try_recv().unwrap(), "started");
    let watched = start(on, Middle);
    hooked.watch(watched.pid()).wait().unwrap();
    watched.exit(ExitReason::Kill);
    assert_eq!(hooked.as_ref().ended().wait(), ExitReason::Normal);
    assert_eq!([told.try_recv().unwrap(), told.try_recv().unwrap()], ["down", "stopped"]);
}

#[derive(Debug, PartialEq)]
struct Empty;

impl fmt::Display for Empty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is empty")
    }
}

impl std::error::Error for Empty {}

struct Stack(Vec<u32>);

#[actor(error = Empty, vis = pub(crate), crate = ::twoply)]
impl Stack {
    fn pop(&mut self) -> Result<u32, Empty> {
        self.0.pop().ok_or(Empty)
    }

    #[tell]
    async fn discard(&mut self) -> Result<(), Empty> {
        self.pop().map(drop)
    }

    fn shatter(&mut self, n: usize) -> u32 {
        self.0[n]
    }
}

fn an_error_of_what_is_told_is_the_end_and_of_an_answer_is_an_answer(on: &Systems) {
    let stack = StackRef::from(start(on, Stack(vec![1, 2])));
    assert_eq!(stack.pop().wait().unwrap(), Ok(2));
    stack.discard().wait().unwrap();
    assert_eq!(stack.pop().wait().unwrap(), Err(Empty));
    stack.discard().wait().unwrap();
    let ended = stack.as_ref().ended().wait();
    assert!(matches!(&ended, ExitReason::Failed(error) if error.to_string() == "it is empty"), "{ended}");
}

fn a_method_that_panics_fails_its_question(on: &Systems) {
    let stack = StackRef::from(start(on, Stack(vec![1])));
    let answer = stack.shatter(7).wait();
    let Err(Failure::NoProcess(ExitReason::Panicked(panic))) = answer else { panic!("{answer:?}") };
    assert!(panic.contains("index out of bounds"), "{panic}");
}

#[allow(unreachable_pub, reason = "it stands for a module of a library")]
mod odd {
    use super::Context;

    pub struct Odd;

    #[twoply::actor]
    impl Odd {
        pub fn r#match(&self, r#type: u8, r#else: u8) -> u8 {
            r#type + r#else
        }

        pub(super) fn _1(&self) -> u8 {
            1
        }

        pub fn __(&self, _: u8, (a, b): (u8, u8), mut c: u8) -> u8 {
            c += a + b;
            c
        }

        pub fn reply(&self, reply: u8, message: u8, field_0: u8, _cx: &mut Context<Self>) -> u8 {
            reply + message + field_0
        }

        pub fn call(&self, code: Box<dyn Fn(&str) -> &str + Send>, then: fn(&str) -> usize) -> usize {
            then(code("odd"))
        }

        #[cfg(any())]
        pub fn gone(&self, of: NoSuchType) -> NoSuchType {
            of
        }

        #[cfg(not(any()))]
        pub fn there(&self) -> &'static str {
            "there"
        }
    }
}

fn whatever_a_method_is_called_it_is_a_message(on: &Systems) {
    let odd = odd::OddRef::from(start(on, odd::Odd));
    assert_eq!(odd.r#match(1, 2).wait().unwrap(), 3);
    assert_eq!(odd._1().wait().unwrap(), 1);
    assert_eq!(odd.__(9, (1, 2), 3).wait().unwrap(), 6);
    assert_eq!(odd.reply(1, 2, 4).wait().unwrap(), 7);
    assert_eq!(odd.call(Box::new(|word| &word[1..]), str::len).wait().unwrap(), 2);
    assert_eq!(odd.there().wait().unwrap(), "there");
    odd.as_ref().exit(ExitReason::Kill);
}
