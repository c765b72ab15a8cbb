//! The attribute [`actor`](macro@actor), which writes the messages of an actor and a reference with its
//! methods; and the derives [`ToTerm`](derive@ToTerm) and [`FromTerm`](derive@FromTerm), for terms of
//! Erlang's.
//!
//! Users have the attribute as `twoply::actor`, with the feature `macros`, and the derives in
//! `twoply::node::wire`. `read` makes a list of messages of the methods, and complains of those that cannot
//! be any; `types` looks through their types; `write` writes what belongs to them. `term` has the derives.
//! None of it knows more of the library than the names that it writes.

#![forbid(unsafe_code)]

mod entry;
mod read;
mod settings;
mod term;
mod types;
mod write;

use proc_macro::TokenStream;

/// Makes an actor of a type with methods: it writes the enum of messages, the implementation of `Actor` and a
/// reference with the same methods.
///
/// On `impl Counter` it writes, beside that impl, which stays as it is:
///
/// | what | is |
/// |---|---|
/// | `CounterMessage` | an enum, with a variant for each method that takes `&self` or `&mut self` |
/// | `impl Actor for Counter` | whose `handle` calls the method of a message, and which has the hooks of the impl |
/// | `CounterRef` | a reference with those methods, over a `ProcessRef<CounterMessage>` |
///
/// The plain trait remains what everything is made of, and the way to read: a `CounterRef` is made `from` a
/// `ProcessRef`, so each way to start, name or supervise an actor works; [`as_ref`](AsRef::as_ref) and `into`
/// lead back.
///
/// # Methods
/// - A method without a result becomes a message that is told: the method of the reference returns what
///   `ProcessRef::send` does. One with a result becomes a question: that of the reference returns what
///   `ProcessRef::ask` does, an `Ask`, whose output is the result or a `Failure`. Both are finished by
///   `.await` or `.wait()`. For the ways that do not wait there are the variants, whose fields are the
///   parameters and, behind them, the resolver: `counter.as_ref().try_ask(CounterMessage::Get)`.
/// - `#[ask]` makes a question of a method without a result, so that one can wait until it has been handled.
///   `#[tell]` makes a message of one that returns a `Result<(), E>`: an error ends the actor, with that as
///   its reason. In a question a `Result` is an answer like others.
/// - A method may be `async`. The actor takes up its next message when it is done.
/// - A parameter of type `&mut Context<Self>`, at any place, gets the actor's context, and is no part of the
///   message.
/// - A function without `self`, a constant or a type is left alone. So is what stands in another impl:
///   helpers which are no messages belong there.
/// - A method of the name of a hook (`started`, `trapped`, `down`, `timed_out`, `idle`, `show_state`,
///   `stopped`) is that hook, moves to the impl of `Actor`, and has the signature that it has there.
///
/// Docs and `cfg` attributes go along to the variants and to the methods of the reference, whose visibility
/// is that of the methods. The enum and the reference are as visible as the most visible method, and as
/// generic as the impl.
///
/// # Settings
/// `#[actor(error = MyError, vis = pub(crate), traced, crate = path::to::twoply)]`, in any order:
/// - `error`: the type of the actor's errors, for its hooks and for what is told; else
///   [`Infallible`](std::convert::Infallible).
/// - `vis`: the visibility of the enum and the reference.
/// - `traced`: messages go with the span of their sender, and a method runs in a span that follows from it;
///   what is sent is a `Traced<CounterMessage>` of `twoply::tracing`, whose feature it wants.
/// - `crate`: the name of `twoply`, where it is another.
///
/// # Errors
/// The compiler shows the place where a method cannot be a message: one that takes `self` by value, borrows
/// in a parameter or in its result, has `impl Trait` there, has type parameters of its own, or is `const`,
/// `unsafe` or `extern`.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{Actor, Context, ExitReason};
///
/// /// Counts.
/// struct Counter(u64);
///
/// #[twoply::actor]
/// impl Counter {
///     /// Adds `n` to what has been counted.
///     fn add(&mut self, n: u64) {
///         self.0 += n;
///     }
///
///     /// Returns what has been counted.
///     fn get(&self) -> u64 {
///         self.0
///     }
///
///     /// Ends the counter.
///     async fn finish(&mut self, cx: &mut Context<Self>) {
///         cx.stop();
///     }
/// }
///
/// let counter = CounterRef::from(Counter(0).spawn()?);
/// counter.add(3).wait()?;
/// counter.add(4).wait()?;
/// assert_eq!(counter.get().wait()?, 7);
///
/// // The same actor, by its messages.
/// counter.as_ref().try_send(CounterMessage::Add(1))?;
/// assert_eq!(counter.as_ref().try_ask(CounterMessage::Get)?.wait()?, 8);
/// counter.finish().wait()?;
/// assert_eq!(counter.as_ref().ended().wait(), ExitReason::Normal);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With type parameters, errors and a hook:
/// ```
/// use twoply::Wait;
/// use twoply::actor::{Actor, Context, ExitReason};
///
/// struct Stack<T>(Vec<T>);
///
/// #[twoply::actor(error = String)]
/// impl<T: Send + 'static> Stack<T> {
///     async fn started(&mut self, _: &mut Context<Self>) -> Result<(), String> {
///         self.0.reserve(16);
///         Ok(())
///     }
///
///     pub fn push(&mut self, item: T) {
///         self.0.push(item);
///     }
///
///     /// Throws the last item away. A stack that has none fails.
///     #[tell]
///     pub fn pop(&mut self) -> Result<(), String> {
///         self.0.pop().map(drop).ok_or_else(|| "there is nothing to throw away".to_owned())
///     }
///
///     /// Is done when all that was sent before has been.
///     #[ask]
///     pub fn flush(&mut self) {}
/// }
///
/// let stack: StackRef<&str> = Stack(Vec::new()).spawn()?.into();
/// stack.push("one").wait()?;
/// stack.pop().wait()?;
/// stack.flush().wait()?;
/// stack.pop().wait()?;
/// assert!(matches!(stack.as_ref().ended().wait(), ExitReason::Failed(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[proc_macro_attribute]
pub fn actor(settings: TokenStream, item: TokenStream) -> TokenStream {
    expand(settings.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Writes all that belongs to the impl `item`. Where some of its methods cannot be messages, that is the
/// complaints and what belongs to the others, so that nobody hears of a reference which is not there.
fn expand(
    settings: proc_macro2::TokenStream,
    item: proc_macro2::TokenStream,
) -> syn::Result<proc_macro2::TokenStream> {
    let settings = settings::Settings::parse(settings)?;
    let item = read::parse(item)?;
    let (actor, complaints) = read::read(item)?;
    let mut written = write::write(&actor, &settings);
    written.extend(complaints.into_iter().map(syn::Error::into_compile_error));
    Ok(written)
}

/// Implements `ToTerm`, which writes values as terms, for a struct or an enum.
///
/// | Rust | Erlang |
/// |---|---|
/// | `struct S { a: A }` | a map with atoms as keys, `#{a => A}` |
/// | the same with `#[term(tuple)]` | `{A}` |
/// | the same with `#[term(record = "s")]` | a record, `{s, A}` |
/// | the same with `#[term(elixir = "My.S")]` | an Elixir struct, `%My.S{a: A}` |
/// | `struct S(A)` | `A` |
/// | `struct S(A, B)` | `{A, B}` |
/// | `struct ColdTea` | `cold_tea` |
/// | `enum E { ColdTea, Pour(A), Add { a: A, b: B } }` | `cold_tea`, `{pour, A}`, `{add, A, B}` |
/// | a variant with `#[term(cast)]` | `{'$gen_cast', Variant}`, as `gen_server:cast` sends it |
///
/// `#[term(rename = "name")]` on a field, a variant or a unit struct is its name as an atom.
/// `#[term(crate = path)]` on a type says where the library is, if not at `twoply::node`.
///
/// # Errors
/// The compiler shows the place where an attribute may not stand, and where two fields or two variants would
/// be the same.
#[proc_macro_derive(ToTerm, attributes(term))]
pub fn to_term(item: TokenStream) -> TokenStream {
    let written = syn::parse(item).and_then(term::to_term);
    written.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `FromTerm`, which reads values from terms, for a struct or an enum; [`ToTerm`](derive@ToTerm)
/// says which terms these are.
///
/// A variant with `#[term(call)]` is a question, `{'$gen_call', From, Variant}`, as `gen_server:call` and
/// `GenServer.call` ask it: it has one field that is a `Resolver`, which is no part of the term, and what it
/// is resolved with is the answer. One that is dropped is answered `{error, broken}`; where the process has
/// ended, that is what the caller is told. Written, it asks in the same way: `process.ask(Message::Get)` of
/// a `ProcessRef` to a process of another node. Such a variant can be read from a node and written to a node
/// only.
///
/// In a map, keys that are no field are passed over, and a field that is an `Option` may be missing. A type
/// that borrows does so from the bytes of the term, and has one lifetime.
///
/// # Errors
/// As there; and where a call has no resolver or two.
#[proc_macro_derive(FromTerm, attributes(term))]
pub fn from_term(item: TokenStream) -> TokenStream {
    let written = syn::parse(item).and_then(term::from_term);
    written.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Runs a function as a task, async or straight-line code, and ends the program when it and all other tasks
/// are over. The function's result goes to another thread, so it is `Send`: of errors
/// `Box<dyn Error + Send + Sync>` is one.
///
/// # Settings
/// - `backend = "native"`, `"green"` or `"fibers"`: a runtime of that kind. Unless set, `main` runs on the
///   runtime of the process, as by `twoply::run`.
/// - `workers = 4`: as the builder's.
/// - `fibers = unsafe { FiberPromise::new() }`: the promise that fibers ask for.
/// - `crate = path::to::twoply`: the name of `twoply`, where it is another.
///
/// # Panics
/// When the function does, or the runtime cannot be started.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::time::sleep;
///
/// #[twoply::main(backend = "green", workers = 2)]
/// async fn main() -> std::io::Result<()> {
///     twoply::spawn(async { sleep(Duration::from_millis(1)).await }).detach();
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(settings: TokenStream, item: TokenStream) -> TokenStream {
    entry::main(settings.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes a test of a function, async or straight-line code, that runs as a task on a runtime of its own. What
/// it leaves behind is cancelled at its end.
///
/// # Settings
/// Those of [`main`](macro@main), and `backends(native, green)`: the test runs once on each, by the names
/// `the_test::native` and `the_test::green`. `backends(all)` is all that can be had: fibers if there is the
/// promise for them.
///
/// # Examples
/// ```
/// # #![allow(dead_code)]
/// use twoply::channel;
///
/// #[twoply::test(backends(all))]
/// async fn a_message_arrives() {
///     let (tx, rx) = channel::bounded(1);
///     tx.send(7).await.unwrap();
///     assert_eq!(rx.recv().await, Ok(7));
/// }
///
/// #[twoply::test(backend = "native")]
/// #[should_panic(expected = "no such luck")]
/// fn a_panic_fails_it() {
///     panic!("no such luck");
/// }
/// # fn main() {}
/// ```
#[proc_macro_attribute]
pub fn test(settings: TokenStream, item: TokenStream) -> TokenStream {
    entry::test(settings.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
