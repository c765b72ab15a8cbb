//! The macro [`select!`](crate::select!): a `match` on a [`select`](super::select()), with guards.
//!
//! It takes one arm after the other off its input and collects what becomes the two tuples: futures and match
//! arms. The rules after these are for what nobody means to write: each says what is wrong.

/// Waits for the first of up to 32 futures and runs the arm that belongs to it.
///
/// It begins with the finisher, `await;` or `wait;`, and may go on with `biased;`, which polls the arms in
/// the order in which they are written. Then come the arms, `pattern = future => expression`, with commas
/// between them; after a block the comma may be left out. Without `biased`, each arm that is ready has the
/// same chance.
///
/// ```
/// use twoply::{channel, select};
///
/// let (jobs, next_job) = channel::unbounded();
/// let (quit, quitting) = channel::bounded::<()>(1);
/// jobs.try_send(1).unwrap();
/// jobs.try_send(2).unwrap();
/// drop(jobs);
///
/// let mut sum = 0;
/// loop {
///     select! { wait; biased;
///         _ = quitting.recv() => break,
///         job = next_job.recv() => match job {
///             Ok(job) => sum += job,
///             Err(channel::RecvError) => quit.try_send(()).unwrap(),
///         },
///     }
/// }
/// assert_eq!(sum, 3);
/// ```
///
/// It expands to a `match` on [`future::select`](crate::future::select()) of the arms' futures and nothing
/// else:
///
/// ```text
/// match future::select((quitting.recv(), next_job.recv())).biased().wait() {
///     OneOf::First(_) => break,
///     OneOf::Second(job) => ...,
/// }
/// ```
///
/// So `?`, `break` and `return` work in the arms, and the losing futures are gone when an arm runs. Patterns
/// must be irrefutable: an output that a pattern does not match would be lost, so what may be one thing or
/// another is told apart by a `match` in the arm.
///
/// # Guards
/// An arm `pattern = future, if condition => expression` takes part only if the condition is true; it is
/// looked at once, and otherwise the future is not even made. If each arm has a guard, `else => expression`
/// may come last: it runs when all are false. Without it, that is a panic.
///
/// ```
/// use twoply::{channel, select};
///
/// let (numbers, next_number) = channel::unbounded();
/// let (words, next_word) = channel::unbounded();
/// numbers.try_send(1).unwrap();
/// words.try_send("two").unwrap();
/// drop((numbers, words));
///
/// let (mut has_numbers, mut has_words) = (true, true);
/// let mut seen = Vec::new();
/// loop {
///     select! { wait;
///         number = next_number.recv(), if has_numbers => match number {
///             Ok(number) => seen.push(number.to_string()),
///             Err(channel::RecvError) => has_numbers = false,
///         },
///         word = next_word.recv(), if has_words => match word {
///             Ok(word) => seen.push(word.to_owned()),
///             Err(channel::RecvError) => has_words = false,
///         },
///         else => break,
///     }
/// }
/// seen.sort();
/// assert_eq!(seen, ["1", "two"]);
/// ```
///
/// To go on when no arm is ready now, which is `default` in Go, let the last arm of a `biased` one be
/// `() = ready(()) => ...`.
///
/// # Mistakes
/// The compiler names them: no finisher, more than 32 arms, an `else` that can never run.
///
/// ```compile_fail
/// twoply::select! { n = std::future::ready(1) => n };
/// ```
///
/// ```compile_fail
/// // The arm has no guard, so it is never off.
/// twoply::select! { wait; n = std::future::ready(1) => n, else => 0 };
/// ```
#[macro_export]
macro_rules! select {
    // One arm after the other: the finisher, the order, whether each arm so far has a guard, the futures,
    // what becomes the arms of the `match`, the variants that are left, and the rest of the input.
    (@arms $finish:tt $order:tt $guards:tt [] [] $variants:tt $(else $($rest:tt)*)?) => {
        ::core::compile_error!("`select!` has no arm to wait for")
    };
    (@arms $finish:tt [$($order:tt)*] $guards:tt [$($future:tt)*]
        [$(($variant:ident, $pattern:pat, $body:expr))*] $variants:tt
    ) => {
        match $crate::select!(@finish $finish $crate::future::select(($($future)*))$($order)*) {
            $($crate::future::OneOf::$variant($pattern) => $body,)*
        }
    };
    (@arms $finish:tt [$($order:tt)*] [guarded] [$($future:tt)*]
        [$(($variant:ident, $pattern:pat, $body:expr))*] $variants:tt
        else => $otherwise:expr $(,)?
    ) => {
        // In a block, or a loop around it with one arm would look like a `while let` that was meant.
        {
            match $crate::select!(@finish $finish $crate::future::select(($($future)*))$($order)*.or_none()) {
                $(::core::option::Option::Some($crate::future::OneOf::$variant($pattern)) => $body,)*
                ::core::option::Option::None => $otherwise,
            }
        }
    };
    (@arms $finish:tt $order:tt [unguarded] $futures:tt $arms:tt $variants:tt else => $($rest:tt)*) => {
        ::core::compile_error!(
            "`else` can never run: it is for the case that all arms are off, and an arm without a guard, \
            `pattern = future, if condition => expression`, is always on"
        )
    };
    (@arms $finish:tt $order:tt $guards:tt $futures:tt $arms:tt $variants:tt else $($rest:tt)*) => {
        ::core::compile_error!("`else => expression` is the last of the arms of `select!`")
    };
    (@arms $finish:tt $order:tt $guards:tt $futures:tt $arms:tt [] $($rest:tt)+) => {
        ::core::compile_error!(
            "`select!` has 32 arms at most; `future::race_all` and `future::select_all` wait for any number"
        )
    };
    (@arms $finish:tt $order:tt $guards:tt [$($futures:tt)*] [$($arms:tt)*] [$variant:ident $($variants:ident)*]
        $pattern:pat = $future:expr, if $guard:expr => $body:block $(, $($rest:tt)*)?
    ) => {
        $crate::select!(@arms $finish $order $guards
            [$($futures)* $crate::select!(@guarded $future, $guard),]
            [$($arms)* ($variant, $pattern, $body)] [$($variants)*] $($($rest)*)?)
    };
    (@arms $finish:tt $order:tt $guards:tt [$($futures:tt)*] [$($arms:tt)*] [$variant:ident $($variants:ident)*]
        $pattern:pat = $future:expr, if $guard:expr => $body:block $($rest:tt)+
    ) => {
        $crate::select!(@arms $finish $order $guards
            [$($futures)* $crate::select!(@guarded $future, $guard),]
            [$($arms)* ($variant, $pattern, $body)] [$($variants)*] $($rest)+)
    };
    (@arms $finish:tt $order:tt $guards:tt [$($futures:tt)*] [$($arms:tt)*] [$variant:ident $($variants:ident)*]
        $pattern:pat = $future:expr, if $guard:expr => $body:expr $(, $($rest:tt)*)?
    ) => {
        $crate::select!(@arms $finish $order $guards
            [$($futures)* $crate::select!(@guarded $future, $guard),]
            [$($arms)* ($variant, $pattern, $body)] [$($variants)*] $($($rest)*)?)
    };
    (@arms $finish:tt $order:tt $guards:tt [$($futures:tt)*] [$($arms:tt)*] [$variant:ident $($variants:ident)*]
        $pattern:pat = $future:expr => $body:block $(, $($rest:tt)*)?
    ) => {
        $crate::select!(@arms $finish $order [unguarded] [$($futures)* $future,]
            [$($arms)* ($variant, $pattern, $body)] [$($variants)*] $($($rest)*)?)
    };
    (@arms $finish:tt $order:tt $guards:tt [$($futures:tt)*] [$($arms:tt)*] [$variant:ident $($variants:ident)*]
        $pattern:pat = $future:expr => $body:block $($rest:tt)+
    ) => {
        $crate::select!(@arms $finish $order [unguarded] [$($futures)* $future,]
            [$($arms)* ($variant, $pattern, $body)] [$($variants)*] $($rest)+)
    };
    (@arms $finish:tt $order:tt $guards:tt [$($futures:tt)*] [$($arms:tt)*] [$variant:ident $($variants:ident)*]
        $pattern:pat = $future:expr => $body:expr $(, $($rest:tt)*)?
    ) => {
        $crate::select!(@arms $finish $order [unguarded] [$($futures)* $future,]
            [$($arms)* ($variant, $pattern, $body)] [$($variants)*] $($($rest)*)?)
    };
    (@arms $($rest:tt)*) => {
        ::core::compile_error!(
            "an arm of `select!` is `pattern = future => expression` or \
            `pattern = future, if condition => expression`, with a comma between two of them"
        )
    };
    (@guarded $future:expr, $guard:expr) => {
        $crate::future::When::from(if $guard {
            ::core::option::Option::Some($future)
        } else {
            ::core::option::Option::None
        })
    };
    (@finish [await] $select:expr) => { $select.await };
    (@finish [wait] $select:expr) => { $crate::Wait::wait($select) };
    (@all [$finish:tt] [$($order:tt)*] $($arms:tt)*) => {
        $crate::select!(@arms [$finish] [$($order)*] [guarded] [] [] [
            First Second Third Fourth Fifth Sixth Seventh Eighth Ninth Tenth Eleventh Twelfth Thirteenth
            Fourteenth Fifteenth Sixteenth Seventeenth Eighteenth Nineteenth Twentieth TwentyFirst
            TwentySecond TwentyThird TwentyFourth TwentyFifth TwentySixth TwentySeventh TwentyEighth
            TwentyNinth Thirtieth ThirtyFirst ThirtySecond
        ] $($arms)*)
    };
    (await; biased; $($arms:tt)*) => { $crate::select!(@all [await] [.biased()] $($arms)*) };
    (wait; biased; $($arms:tt)*) => { $crate::select!(@all [wait] [.biased()] $($arms)*) };
    (await; $($arms:tt)*) => { $crate::select!(@all [await] [] $($arms)*) };
    (wait; $($arms:tt)*) => { $crate::select!(@all [wait] [] $($arms)*) };
    ($($rest:tt)*) => {
        ::core::compile_error!(
            "`select!` begins with its finisher, `await;` or `wait;`, and `biased;` comes after that if at all"
        )
    };
}
