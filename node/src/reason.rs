//! Exit reasons as terms, and back.

use twoply_core::actor::{ExitReason, Foreign};

use crate::wire::{Binary, Term};

/// Returns the term of a reason: the atom of the same name, `{shutdown, Text}`, `{panic, Text}`,
/// `{error, Text}`, a text, or the term that came from elsewhere.
pub(crate) fn to_term(reason: &ExitReason) -> Term {
    let tagged = |tag: &str, text: String| Term::Tuple(vec![Term::atom(tag), Term::text(text)]);
    match reason {
        ExitReason::Normal => Term::atom("normal"),
        ExitReason::Shutdown => Term::atom("shutdown"),
        ExitReason::Kill => Term::atom("kill"),
        ExitReason::Killed => Term::atom("killed"),
        ExitReason::NoProcess => Term::atom("noproc"),
        ExitReason::NoConnection => Term::atom("noconnection"),
        ExitReason::ShutdownWith(data) => tagged("shutdown", data.to_string()),
        ExitReason::Panicked(text) => tagged("panic", text.to_string()),
        ExitReason::Failed(failed) => tagged("error", failed.to_string()),
        ExitReason::Foreign(foreign) => match foreign.downcast_ref::<Term>() {
            Some(term) => term.clone(),
            None => Term::text(foreign.to_string()),
        },
        other => Term::text(other.to_string()),
    }
}

/// Returns the reason that a term is.
pub(crate) fn from_term(term: Term) -> ExitReason {
    match &term {
        Term::Atom(atom) => match atom.as_str() {
            "normal" => return ExitReason::Normal,
            "shutdown" => return ExitReason::Shutdown,
            "kill" => return ExitReason::Kill,
            "killed" => return ExitReason::Killed,
            "noproc" => return ExitReason::NoProcess,
            "noconnection" => return ExitReason::NoConnection,
            _ => {}
        },
        Term::Binary(bytes) => {
            if let Some(text) = text(bytes) {
                return ExitReason::other(text);
            }
        }
        Term::Tuple(elements) => match elements.as_slice() {
            [tag, Term::Binary(bytes)] if tag.is_atom("panic") => {
                if let Some(text) = text(bytes) {
                    return ExitReason::Panicked(text.into());
                }
            }
            [tag, Term::Binary(bytes)] if tag.is_atom("error") => {
                if let Some(text) = text(bytes) {
                    return ExitReason::failed(text);
                }
            }
            _ => {}
        },
        _ => {}
    }
    let orderly = matches!(term.as_tuple(), Some([tag, _]) if tag.is_atom("shutdown"));
    ExitReason::Foreign(Foreign::new(term, orderly))
}

fn text(bytes: &Binary) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_crosses_and_returns_is_the_same() {
        let own = [
            ExitReason::Normal,
            ExitReason::Shutdown,
            ExitReason::Kill,
            ExitReason::Killed,
            ExitReason::NoProcess,
            ExitReason::NoConnection,
            ExitReason::Panicked("ouch".into()),
            ExitReason::failed("no luck"),
            ExitReason::other("enough"),
        ];
        for reason in own {
            assert_eq!(from_term(to_term(&reason)), reason);
        }
        let shutdown = to_term(&ExitReason::shutdown_with(42));
        assert_eq!(shutdown.to_string(), "{shutdown,<<\"42\">>}");
        assert!(from_term(shutdown.clone()).is_orderly());
        let bad_match = Term::Tuple(vec![Term::atom("badmatch"), Term::Binary(vec![0xff].into())]);
        for term in [shutdown, bad_match, Term::atom("enough"), Term::from(7)] {
            assert_eq!(to_term(&from_term(term.clone())), term);
        }
        assert!(!from_term(Term::atom("enough")).is_orderly());
    }
}
