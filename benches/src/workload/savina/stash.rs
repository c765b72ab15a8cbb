//! Savina's benchmarks whose actors wait for an answer before they go on: LogisticMap and Banking, in the
//! suite's variants where an actor that waits puts aside what comes meanwhile.

use std::collections::VecDeque;

use super::{Benchmark, Random, Size};
use crate::workload::actor::system::{Behaviour, Flow, Me, Outcome, Ref, System};

/// Actors compute series of numbers, each number by asking another actor.
#[derive(Clone, Copy)]
pub(super) struct LogisticMap {
    /// How many series.
    series: u64,
    /// How many numbers of each.
    terms: u64,
}

/// The rate of the series of that number.
fn rate(number: u64) -> f64 {
    3.46 + 0.0025 * number as f64
}

/// The first number of the series of that number.
fn first_term(number: u64) -> f64 {
    0.001 * (number + 1) as f64
}

/// The number after `term`.
fn next_term(rate: f64, term: f64) -> f64 {
    rate * term * (1.0 - term)
}

/// Holds the last number of a series.
struct Series<S: System> {
    /// Who computes the next one.
    computer: Ref<S, Computer>,
    /// The last one.
    term: f64,
    /// Whether the next one is being computed.
    waits: bool,
    /// What has come meanwhile.
    stash: VecDeque<ToSeries>,
    /// Gets the bits of the last number.
    outcome: Outcome,
}

/// To a series.
enum ToSeries {
    /// Have the next number computed.
    Next,
    /// The next number.
    Computed(f64),
    /// Give the last number, and end.
    Finish,
}

/// Computes the numbers of a series.
struct Computer {
    /// By this rate.
    rate: f64,
    /// Held to the end.
    _outcome: Outcome,
}

/// To a computer.
enum ToComputer<S: System> {
    /// Compute the number after this one.
    Compute(f64, Ref<S, Series<S>>),
    /// There are no more.
    End,
}

impl Benchmark for LogisticMap {
    fn new(size: &Size<'_>) -> Self {
        Self { series: size.count("series"), terms: size.rounds("terms") }
    }

    /// For each number, the wish for it, the question and the answer.
    fn operations(&self) -> u64 {
        3 * self.series * self.terms
    }

    fn expected(&self) -> u64 {
        let last = |number| (0..self.terms).fold(first_term(number), |term, _| next_term(rate(number), term));
        (0..self.series).map(last).fold(0, |sum, term| sum + (term.to_bits() >> 8))
    }

    fn start<S: System>(self, outcome: Outcome) {
        let series = |number| {
            let computer = S::spawn(Computer { rate: rate(number), _outcome: outcome.clone() });
            let (term, outcome) = (first_term(number), outcome.clone());
            S::spawn(Series { computer, term, waits: false, stash: VecDeque::new(), outcome })
        };
        let all: Vec<_> = (0..self.series).map(series).collect();
        for _ in 0..self.terms {
            for series in &all {
                series.tell(ToSeries::Next);
            }
        }
        for series in &all {
            series.tell(ToSeries::Finish);
        }
    }
}

impl<S: System> Behaviour<S> for Series<S> {
    type Message = ToSeries;

    fn handle(&mut self, message: ToSeries, me: &impl Me<S, Self>) -> Flow {
        let message = match message {
            ToSeries::Computed(term) => {
                self.term = term;
                self.waits = false;
                match self.stash.pop_front() {
                    Some(next) => next,
                    None => return Flow::Continue,
                }
            }
            other if self.waits => {
                self.stash.push_back(other);
                return Flow::Continue;
            }
            other => other,
        };
        if let ToSeries::Finish = message {
            // The upper bits of some numbers can be added up without an overflow.
            self.outcome.add(self.term.to_bits() >> 8);
            self.computer.tell(ToComputer::End);
            return Flow::Stop;
        }
        self.waits = true;
        self.computer.tell(ToComputer::Compute(self.term, me.me()));
        Flow::Continue
    }
}

impl<S: System> Behaviour<S> for Computer {
    type Message = ToComputer<S>;

    fn handle(&mut self, message: ToComputer<S>, _: &impl Me<S, Self>) -> Flow {
        match message {
            ToComputer::Compute(term, series) => {
                series.tell(ToSeries::Computed(next_term(self.rate, term)));
                Flow::Continue
            }
            ToComputer::End => Flow::Stop,
        }
    }
}

/// A teller has money moved between accounts; one that sends money waits until it has arrived.
#[derive(Clone, Copy)]
pub(super) struct Banking {
    /// How many accounts.
    accounts: u64,
    /// How many transactions.
    transactions: u64,
}

/// What is on an account at first.
const BALANCE: u64 = 1_000_000_000;

/// An account.
struct Account<S: System> {
    /// What is on it.
    balance: u64,
    /// Who is told when the money that it has sent has arrived. It waits for that if there is somebody.
    waits_for: Option<Ref<S, Teller<S>>>,
    /// What has come meanwhile.
    stash: VecDeque<ToAccount<S>>,
    /// Gets the balance in the end.
    outcome: Outcome,
}

/// To an account.
enum ToAccount<S: System> {
    /// Send this much money to another one, for that teller.
    Send(u64, Ref<S, Account<S>>, Ref<S, Teller<S>>),
    /// This much money comes from another one.
    Receive(u64, Ref<S, Account<S>>),
    /// The money has arrived.
    Arrived,
    /// There are no more transactions.
    End,
}

/// Orders all transactions and waits until they are done.
struct Teller<S: System> {
    /// All accounts.
    accounts: Vec<Ref<S, Account<S>>>,
    /// How many transactions are not done.
    left: u64,
    /// What is transferred from where to where.
    random: Random,
    /// Held to the end.
    _outcome: Outcome,
}

/// To the teller.
enum ToTeller {
    /// Order the transactions.
    Start,
    /// One is done.
    Done,
}

impl Benchmark for Banking {
    fn new(size: &Size<'_>) -> Self {
        Self { accounts: size.count("accounts"), transactions: size.rounds("transactions") }
    }

    fn operations(&self) -> u64 {
        self.transactions
    }

    fn expected(&self) -> u64 {
        self.accounts * BALANCE
    }

    fn start<S: System>(self, outcome: Outcome) {
        let account = |_| Account::<S> {
            balance: BALANCE,
            waits_for: None,
            stash: VecDeque::new(),
            outcome: outcome.clone(),
        };
        let accounts = (0..self.accounts).map(account).map(S::spawn).collect();
        let teller = Teller::<S> {
            accounts,
            left: self.transactions,
            random: Random::new(123),
            _outcome: outcome.clone(),
        };
        S::spawn(teller).tell(ToTeller::Start);
    }
}

impl<S: System> Teller<S> {
    /// Orders one transaction. Money goes to accounts of a higher number only, so that no two wait for each
    /// other.
    fn order(&mut self, me: Ref<S, Self>) {
        let count = self.accounts.len() as u64;
        let from = self.random.below(count / 10 * 8);
        let to = from + self.random.below(count - from).max(1);
        let amount = self.random.below(1000);
        let recipient = self.accounts[to as usize].clone();
        self.accounts[from as usize].tell(ToAccount::Send(amount, recipient, me));
    }
}

impl<S: System> Behaviour<S> for Teller<S> {
    type Message = ToTeller;

    fn handle(&mut self, message: ToTeller, me: &impl Me<S, Self>) -> Flow {
        match message {
            ToTeller::Start => (0..self.left).for_each(|_| self.order(me.me())),
            ToTeller::Done => self.left -= 1,
        }
        if self.left > 0 {
            return Flow::Continue;
        }
        for account in &self.accounts {
            account.tell(ToAccount::End);
        }
        Flow::Stop
    }
}

impl<S: System> Behaviour<S> for Account<S> {
    type Message = ToAccount<S>;

    fn handle(&mut self, message: ToAccount<S>, me: &impl Me<S, Self>) -> Flow {
        match message {
            ToAccount::Arrived => {
                if let Some(teller) = self.waits_for.take() {
                    teller.tell(ToTeller::Done);
                }
            }
            other => self.stash.push_back(other),
        }
        while self.waits_for.is_none() {
            match self.stash.pop_front() {
                None => break,
                Some(ToAccount::Send(amount, recipient, teller)) => {
                    self.balance -= amount;
                    recipient.tell(ToAccount::Receive(amount, me.me()));
                    self.waits_for = Some(teller);
                }
                Some(ToAccount::Receive(amount, sender)) => {
                    self.balance += amount;
                    sender.tell(ToAccount::Arrived);
                }
                Some(ToAccount::Arrived) => {}
                Some(ToAccount::End) => {
                    self.outcome.add(self.balance);
                    return Flow::Stop;
                }
            }
        }
        Flow::Continue
    }
}
