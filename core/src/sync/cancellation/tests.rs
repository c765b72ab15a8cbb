//! Nothing is left of tokens that are gone, however many there were and in whatever order they went.

use super::*;

/// Runs `test` on a stack on which nothing calls itself a hundred thousand times.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(test);
    thread.expect("the system has a thread").join().expect("the test holds");
}

/// Returns how many slots of the tree are in use.
fn in_use(token: &CancellationToken) -> usize {
    lock(&token.0.tree).in_use()
}

const MANY: usize = if cfg!(miri) { 200 } else { 100_000 };

/// Makes a line of tokens, each the child of the one before.
fn line(of: &CancellationToken) -> Vec<CancellationToken> {
    let mut tokens = vec![of.clone()];
    for n in 0..MANY {
        tokens.push(tokens[n].child_token());
    }
    tokens
}

#[test]
fn a_deep_tree_is_cancelled_and_dropped_without_recursion() {
    on_a_small_stack(|| {
        for forwards in [false, true] {
            let root = CancellationToken::new();
            let mut tokens = line(&root);
            if !forwards {
                tokens.reverse();
            }
            drop(tokens);
            assert_eq!(in_use(&root), 1);
        }
        let root = CancellationToken::new();
        let tokens = line(&root);
        root.cancel();
        assert!(tokens.iter().all(CancellationToken::is_cancelled));
        assert_eq!(in_use(&root), 0);
    });
}

#[test]
fn a_wide_tree_is_cancelled_and_dropped() {
    on_a_small_stack(|| {
        let root = CancellationToken::new();
        let tokens: Vec<_> = (0..MANY).map(|_| root.child_token()).collect();
        let grandchild = tokens[MANY / 2].child_token();
        drop(tokens);
        assert_eq!(in_use(&root), 2);
        root.cancel();
        assert!(grandchild.is_cancelled());
        assert_eq!(in_use(&root), 0);
    });
}

#[test]
fn a_token_that_is_replaced_by_its_child_for_ever_takes_no_room() {
    let root = CancellationToken::new();
    let mut token = root.clone();
    for _ in 0..MANY {
        token = token.child_token();
    }
    assert_eq!(in_use(&root), 2);
    root.cancel();
    assert!(token.is_cancelled());
}

#[test]
fn those_below_a_dropped_root_go_on_by_themselves() {
    let root = CancellationToken::new();
    let (one, other) = (root.child_token(), root.child_token());
    let below = one.child_token();
    drop(root);
    one.cancel();
    assert!(below.is_cancelled() && !other.is_cancelled());
    assert_eq!(in_use(&other), 1);
}

#[test]
fn a_child_of_a_cancelled_token_takes_no_place() {
    let root = CancellationToken::new();
    root.cancel();
    let child = root.child_token();
    assert!(child.is_cancelled() && child.child_token().is_cancelled());
    drop(child);
    assert_eq!(in_use(&root), 0);
}
