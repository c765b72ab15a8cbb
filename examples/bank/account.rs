//! An account, and two ways to pay from one into another.

use twoply::Wait;
use twoply::actor::Active;
use twoply::promise::{Answer, Failure, Promise};

/// An account. It knows nothing of actors.
pub(crate) struct Account {
    /// What is on it.
    balance: u64,
}

/// There was not enough on the account.
#[derive(Debug)]
pub(crate) struct Refused;

impl Account {
    pub(crate) fn new(balance: u64) -> Account {
        Account { balance }
    }

    pub(crate) fn balance(&self) -> u64 {
        self.balance
    }

    pub(crate) fn deposit(&mut self, amount: u64) {
        self.balance += amount;
    }

    pub(crate) fn withdraw(&mut self, amount: u64) -> Result<(), Refused> {
        self.balance = self.balance.checked_sub(amount).ok_or(Refused)?;
        Ok(())
    }
}

/// Pays from one account into the other: the right way, in which nobody waits while it holds an account.
///
/// # Errors
/// When one of the accounts is closed.
pub(crate) async fn transfer(
    from: &Active<Account>,
    to: &Active<Account>,
    amount: u64,
) -> Result<Result<(), Refused>, Failure> {
    let taken = from.ask(move |from| from.withdraw(amount)).await?;
    if taken.is_ok() {
        to.ask(move |to| to.deposit(amount)).await?;
    }
    Ok(taken)
}

/// Pays from one account into the other: the wrong way, in which the payer's account is held until the
/// receipt comes, which is what is returned. It begins with waiting for `open`.
pub(crate) fn hand_over(
    from: &Active<Account>,
    to: &Active<Account>,
    amount: u64,
    open: Promise<()>,
) -> Answer<Result<(), Failure>> {
    let to = to.clone();
    from.ask(move |from| {
        open.wait()?;
        if from.withdraw(amount).is_ok() {
            // A deadlock refuses the wait. The money is on its way even then, so it must not be put back.
            to.ask(move |to| to.deposit(amount)).wait()?;
        }
        Ok(())
    })
}
