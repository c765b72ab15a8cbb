//! SQLite by rusqlite, in `offload`: its calls block, so each is made where that holds up nobody. Its
//! connections come from a pool of r2d2's, which blocks, too.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use twoply::{Wait, channel, offload};
use twoply_tests::{Dir, Systems, laws};

laws! {
    everywhere {
        transactions_of_many_tasks_are_each_whole,
        a_statement_that_waits_for_a_lock_holds_up_nobody,
        rows_come_one_by_one,
        a_long_query_is_interrupted,
    }
}

/// Opens the connections of a pool.
struct Manager(PathBuf);

impl r2d2::ManageConnection for Manager {
    type Connection = Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.0)?;
        // One who finds the file locked waits for others to end, and does not fail.
        connection.busy_timeout(Duration::from_secs(60))?;
        connection.pragma_update(None, "synchronous", "off")?;
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        connection.execute_batch("")
    }

    fn has_broken(&self, _: &mut Connection) -> bool {
        false
    }
}

type Pool = r2d2::Pool<Manager>;

/// Makes a database with some accounts, each with a balance of 100, and a pool of connections to it.
fn bank() -> (Dir, Pool) {
    let dir = Dir::new();
    let pool = Pool::builder().max_size(3).build(Manager(dir.join("bank.db"))).unwrap();
    let connection = pool.get().unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.execute_batch("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)").unwrap();
    for id in 0..ACCOUNTS {
        connection.execute("INSERT INTO accounts VALUES (?1, 100)", [id]).unwrap();
    }
    (dir, pool)
}

const ACCOUNTS: i64 = 5;

/// Takes `amount` from one account and gives it to another, or does nothing at all.
fn transfer(pool: &Pool, from: i64, to: i64, amount: i64) -> rusqlite::Result<bool> {
    let mut connection = pool.get().expect("somebody gives one back");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let add = "UPDATE accounts SET balance = balance + ?1 WHERE id = ?2 AND balance + ?1 >= 0";
    let whole = transaction.execute(add, [-amount, from])? + transaction.execute(add, [amount, to])? == 2;
    if whole {
        transaction.commit()?;
    }
    Ok(whole)
}

fn transactions_of_many_tasks_are_each_whole(on: &Systems) {
    const TASKS: i64 = 8;
    const TRANSFERS: i64 = 5;
    let (_dir, pool) = bank();
    let tasks = (0..TASKS).map(|task| {
        let pool = pool.clone();
        on.here().spawn(async move {
            let mut done = 0;
            for n in 0..TRANSFERS {
                let (from, to) = (task % ACCOUNTS, (task + n + 1) % ACCOUNTS);
                // The code borrows, as it is over when the call returns.
                done += i64::from(offload(|| transfer(&pool, from, to, 30)).unwrap().unwrap());
            }
            done
        })
    });
    let done: i64 = tasks.collect::<Vec<_>>().into_iter().map(|task| task.wait().unwrap()).sum();
    assert!(done > 0, "there was something to transfer");
    let all = "SELECT SUM(balance), MIN(balance) FROM accounts";
    let row = pool.get().unwrap().query_row(all, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (sum, least): (i64, i64) = row.unwrap();
    assert_eq!(sum, 100 * ACCOUNTS);
    assert!(least >= 0, "nobody owes anything: {least}");
}

fn a_statement_that_waits_for_a_lock_holds_up_nobody(on: &Systems) {
    let (_dir, pool) = bank();
    let holding = pool.get().unwrap();
    holding.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (begun, begins) = channel::bounded(1);
    let waiting = on.here().spawn(async move {
        offload(|| {
            begun.send(()).wait().unwrap();
            transfer(&pool, 0, 1, 10)
        })
    });
    // On the same worker, if there is one only.
    let releasing = on.here().spawn(async move {
        begins.recv().await.unwrap();
        offload(move || holding.execute_batch("COMMIT"))
    });
    releasing.wait().unwrap().unwrap().unwrap();
    assert!(waiting.wait().unwrap().unwrap().unwrap());
}

fn rows_come_one_by_one(on: &Systems) {
    let (_dir, pool) = bank();
    let (rows, received) = channel::bounded(1);
    // A statement belongs to its thread, so all of it is in one piece of code.
    let query = on.here().spawn(async move {
        offload(|| -> rusqlite::Result<usize> {
            let connection = pool.get().expect("there are some");
            let numbers = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
            let mut statement = connection.prepare(numbers)?;
            let mut sent = 0;
            for row in statement.query_map([], |row| row.get::<_, i64>(0))? {
                if rows.send(row?).wait().is_err() {
                    break;
                }
                sent += 1;
            }
            Ok(sent)
        })
    });
    let reading = on.here().spawn(async move {
        let mut sum = 0;
        for _ in 0..100 {
            sum += received.recv().await.unwrap();
        }
        sum
    });
    assert_eq!(reading.wait().unwrap(), 5050);
    // There are no more rows than somebody wants, though the table has no end.
    let sent = query.wait().unwrap().unwrap().unwrap();
    assert!((100..110).contains(&sent), "{sent}");
}

fn a_long_query_is_interrupted(on: &Systems) {
    let (_dir, pool) = bank();
    let connection = pool.get().unwrap();
    let interrupt = connection.get_interrupt_handle();
    let (begun, begins) = channel::bounded(1);
    let query = on.here().spawn(async move {
        offload(move || {
            begun.send(()).wait().unwrap();
            let endless =
                "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n";
            connection.query_row(endless, [], |row| row.get::<_, i64>(0))
        })
    });
    begins.recv().wait().unwrap();
    // One that comes before the query is forgotten.
    twoply_tests::eventually("the query ends", || {
        interrupt.interrupt();
        query.is_finished()
    });
    let error = query.wait().unwrap().unwrap().unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
}
