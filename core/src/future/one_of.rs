//! [`OneOf`]: which of the arms of a select was ready.

use std::convert::Infallible;

/// The output of one of up to 32 arms, and which one it was.
///
/// The variants that a select does not have hold [`Infallible`] and need no arm in a `match`.
///
/// ```
/// use std::future::{pending, ready};
/// use twoply::{Wait, future::{OneOf, select}};
///
/// let first = select((pending::<u8>(), ready("there"))).wait();
/// assert_eq!(first, OneOf::Second("there"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum OneOf<
    A, B = Infallible, 
    C = Infallible, D = Infallible, E = Infallible, F = Infallible, G = Infallible, H = Infallible,
    I = Infallible, J = Infallible, K = Infallible, L = Infallible, M = Infallible, N = Infallible,
    O = Infallible, P = Infallible, Q = Infallible, R = Infallible, S = Infallible, T = Infallible,
    U = Infallible, V = Infallible, W = Infallible, X = Infallible, Y = Infallible, Z = Infallible,
    Aa = Infallible, Ab = Infallible, Ac = Infallible, Ad = Infallible, Ae = Infallible, Af = Infallible,
> {
    /// The first arm was ready.
    First(A),
    /// The second arm was ready.
    Second(B),
    /// The third arm was ready.
    Third(C),
    /// The fourth arm was ready.
    Fourth(D),
    /// The fifth arm was ready.
    Fifth(E),
    /// The sixth arm was ready.
    Sixth(F),
    /// The seventh arm was ready.
    Seventh(G),
    /// The eighth arm was ready.
    Eighth(H),
    /// The ninth arm was ready.
    Ninth(I),
    /// The tenth arm was ready.
    Tenth(J),
    /// The eleventh arm was ready.
    Eleventh(K),
    /// The twelfth arm was ready.
    Twelfth(L),
    /// The thirteenth arm was ready.
    Thirteenth(M),
    /// The fourteenth arm was ready.
    Fourteenth(N),
    /// The fifteenth arm was ready.
    Fifteenth(O),
    /// The sixteenth arm was ready.
    Sixteenth(P),
    /// The seventeenth arm was ready.
    Seventeenth(Q),
    /// The eighteenth arm was ready.
    Eighteenth(R),
    /// The nineteenth arm was ready.
    Nineteenth(S),
    /// The twentieth arm was ready.
    Twentieth(T),
    /// The twenty-first arm was ready.
    TwentyFirst(U),
    /// The twenty-second arm was ready.
    TwentySecond(V),
    /// The twenty-third arm was ready.
    TwentyThird(W),
    /// The twenty-fourth arm was ready.
    TwentyFourth(X),
    /// The twenty-fifth arm was ready.
    TwentyFifth(Y),
    /// The twenty-sixth arm was ready.
    TwentySixth(Z),
    /// The twenty-seventh arm was ready.
    TwentySeventh(Aa),
    /// The twenty-eighth arm was ready.
    TwentyEighth(Ab),
    /// The twenty-ninth arm was ready.
    TwentyNinth(Ac),
    /// The thirtieth arm was ready.
    Thirtieth(Ad),
    /// The thirty-first arm was ready.
    ThirtyFirst(Ae),
    /// The thirty-second arm was ready.
    ThirtySecond(Af),
}
