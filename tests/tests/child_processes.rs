//! Child processes: what goes in and out, how they end, and that nothing of them stays behind.

use std::fs::{self, File};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, getrlimit, setrlimit, waitpid};
use twoply_core::Wait;
use twoply_core::future::{join, join_all};
use twoply_core::process::{Command, OutputError, Stdio};
use twoply_core::signal::SignalKind;
use twoply_core::time::timeout;
use twoply_tests::{Systems, children_of, deny_pidfd, eventually, laws, set_mask, skip};

laws! {
    and_mixed {
        what_is_written_to_a_child_comes_back,
        a_child_is_started_here_and_waited_for_there,
    }
    everywhere {
        straight_line_code_uses_the_traits_of_std,
        the_status_tells_how_a_child_has_ended,
        settings_reach_the_child,
        a_child_runs_as_the_user_that_it_is_told,
        a_program_that_is_missing_is_an_error,
        a_wait_that_is_given_up_can_be_repeated,
        a_child_that_is_dropped_leaves_no_zombie,
        a_child_whose_runtime_ends_leaves_no_zombie,
        a_child_may_be_killed_with_its_handle,
        a_group_is_killed_with_its_leader,
        a_group_is_sent_a_signal_until_its_leader_is_waited_for,
        a_nul_byte_is_told_of_with_the_setting_that_has_it,
        too_much_output_is_an_error_that_keeps_what_was_read,
        a_child_that_takes_too_long_is_an_error_that_keeps_what_was_read,
        a_child_that_has_ended_has_not_taken_too_long,
        a_child_that_never_reads_holds_nobody_up,
        both_outputs_are_read_at_a_time,
        one_child_feeds_another,
        two_hundred_children_at_once,
        a_child_for_which_there_is_no_descriptor_is_not_started,
        children_end_well_where_their_descriptors_are_denied,
        a_status_that_somebody_else_has_taken_is_an_error,
    }
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// The number of pipes and descriptors of processes that this process has.
fn descriptors() -> usize {
    let links =
        fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    links
        .filter(|link| {
            let link = link.to_string_lossy();
            link.starts_with("pipe:") || link.contains("pidfd")
        })
        .count()
}

/// Waits until there are as many descriptors as `before`.
fn assert_descriptors(before: usize) {
    eventually("no descriptor is left behind", || descriptors() == before);
}

/// Waits until this process has no child any more.
fn assert_no_children() {
    eventually("there is no child left", || children_of(process::id()).is_empty());
}

fn what_is_written_to_a_child_comes_back(on: &Systems) {
    const LEN: usize = 1 << 20;
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
    let writer = on.here().spawn(async move {
        let bytes: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
        stdin.write_all(&bytes).await.unwrap();
        poll_fn(|cx| Pin::new(&mut stdin).poll_close(cx)).await.unwrap();
        let error = stdin.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
    let reader = on.there().spawn(async move {
        let mut bytes = Vec::new();
        let mut chunk = [0; 5000];
        loop {
            match poll_fn(|cx| Pin::new(&mut stdout).poll_read(cx, &mut chunk)).await.unwrap() {
                0 => break,
                n => bytes.extend_from_slice(&chunk[..n]),
            }
        }
        bytes.len() == LEN && bytes.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8)
    });
    writer.wait().unwrap();
    assert!(reader.wait().unwrap());
    assert!(on.there().spawn(async move { cat.wait().await }).wait().unwrap().unwrap().success());
}

fn a_child_is_started_here_and_waited_for_there(on: &Systems) {
    let start = || shell("read line; exit 3").stdin(Stdio::piped()).spawn().unwrap();
    let mut child = on.here().spawn_fn(start).wait().unwrap();
    // The first wait has it watched where it is given up; the second is elsewhere.
    let early = async move {
        let stdin = child.stdin.take();
        assert!(timeout(Duration::from_millis(5), child.wait()).await.is_err());
        (child, stdin)
    };
    let (mut child, stdin) = on.here().spawn(early).wait().unwrap();
    let waiting = on.there().spawn(async move { child.wait().await.unwrap().code() });
    drop(stdin);
    assert_eq!(waiting.wait().unwrap(), Some(3));
}

fn straight_line_code_uses_the_traits_of_std(on: &Systems) {
    let code = || {
        let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = cat.stdin.take().unwrap();
        io::Write::write_all(&mut stdin, b"line\n").unwrap();
        io::Write::flush(&mut stdin).unwrap();
        drop(stdin);
        let mut text = String::new();
        cat.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        (text, cat.wait().wait().unwrap().code(), cat.try_wait().unwrap().is_some())
    };
    assert_eq!(on.here().spawn_fn(code).wait().unwrap(), ("line\n".to_owned(), Some(0), true));
}

fn the_status_tells_how_a_child_has_ended(on: &Systems) {
    let task = on.here().spawn(async {
        assert_eq!(shell("exit 7").status().await.unwrap().code(), Some(7));
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.signal(SignalKind::TERMINATE).unwrap();
        let status = child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(15));
        assert_eq!(child.wait().await.unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
        assert_eq!(child.signal(SignalKind::TERMINATE).unwrap_err().kind(), ErrorKind::InvalidInput);
        child.start_kill().unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        assert_eq!(child.kill().await.unwrap().signal(), Some(9));
    });
    task.wait().unwrap();
}

fn settings_reach_the_child(on: &Systems) {
    let folder = std::env::temp_dir().join(format!("{}-{}", on.name().replace("::", "-"), process::id()));
    fs::create_dir_all(&folder).unwrap();
    let there = folder.clone();
    const SCRIPT: &str = "echo $0 $ONE $TWO $HOME; pwd; touch file; head -c 5 /proc/$$/cmdline; echo
        [ $(cut -d ' ' -f 5 /proc/$$/stat) = $$ ] && echo leader";
    let task = on.here().spawn(async move {
        let mut command = shell(SCRIPT);
        command.arg("zero").env_clear().env("ONE", "1").envs([("TWO", "2")]);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env_remove("NOTHING");
        command.current_dir(&there).process_group(0).arg0("shell");
        set_mask(&mut command);
        let output = command.output().await.unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    });
    let (success, text) = task.wait().unwrap();
    let expected = format!("zero 1 2\n{}\nshell\nleader\n", fs::canonicalize(&folder).unwrap().display());
    assert!(success);
    assert_eq!(text, expected);
    assert_eq!(fs::metadata(folder.join("file")).unwrap().mode() & 0o077, 0);
    fs::remove_dir_all(&folder).unwrap();
}

fn a_child_runs_as_the_user_that_it_is_told(on: &Systems) {
    // Whoever is not allowed to become another one becomes himself.
    let (own_user, own_group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let (user, group) = if own_user == 0 { (65_534, 65_533) } else { (own_user, own_group) };
    let task = on.here().spawn(async move {
        let output = shell("id -u; id -g").uid(user).gid(group).output().await.map_err(io::Error::from);
        let refused = output.as_ref().err().and_then(io::Error::raw_os_error);
        if own_user == 0 && matches!(refused, Some(libc::EPERM | libc::EINVAL)) {
            return skip("root may not become another user here");
        }
        assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), format!("{user}\n{group}\n"));
        // Nobody but the system's administrator becomes another one.
        if own_user != 0 {
            let refused = Command::new("true").uid(own_user + 1).status().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        }
    });
    task.wait().unwrap();
}

fn a_program_that_is_missing_is_an_error(on: &Systems) {
    on.alone(|| {
        let attempt = || {
            on.here()
                .spawn(async {
                    let mut missing = Command::new("/no/such/program");
                    let error = missing.stdout(Stdio::piped()).spawn().unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::NotFound);
                    assert_eq!(missing.status().await.unwrap_err().kind(), ErrorKind::NotFound);
                    let error = missing.output().await.unwrap_err();
                    assert_eq!(io::Error::from(error).kind(), ErrorKind::NotFound);
                    let error = Command::new("true").current_dir("/no/such/folder").spawn().unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::NotFound);
                })
                .wait()
                .unwrap();
        };
        let before = descriptors();
        (0..10).for_each(|_| attempt());
        assert_descriptors(before);
        assert_no_children();
    });
}

fn a_nul_byte_is_told_of_with_the_setting_that_has_it(on: &Systems) {
    let refusal = |change: fn(&mut Command)| {
        let error = on.here().spawn_fn(move || {
            let mut command = Command::new("true");
            change(&mut command);
            command.spawn().unwrap_err()
        });
        let error = error.wait().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.to_string()
    };
    let says = |change, what: &str| {
        let error = refusal(change);
        assert!(error.starts_with(&format!("{what} has a NUL byte")), "{error}");
    };
    says(|command| *command = Command::new("tr\0ue"), r#"the program "tr\0ue""#);
    says(|command| _ = command.args(["fine", "a\0", "\0b"]), r#"the argument "a\0""#);
    says(|command| _ = command.arg0("a\0"), r#"the name "a\0""#);
    says(|command| _ = command.current_dir("/tmp\0"), r#"the folder "/tmp\0""#);
    says(|command| _ = command.env("NAME", "\0value"), r#"the variable "NAME""#);
    says(|command| _ = command.envs([("NA\0ME", "value")]), r#"the variable "NA\0ME""#);
    // One that is replaced is none.
    let mut replaced = Command::new("true");
    assert!(replaced.env("NAME", "\0").env("NAME", "value").status().wait().unwrap().success());
}

fn a_wait_that_is_given_up_can_be_repeated(on: &Systems) {
    let task = on.here().spawn(async {
        let mut child = shell("read line; exit 5").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        for _ in 0..10 {
            assert!(timeout(Duration::from_millis(1), child.wait()).await.is_err());
        }
        drop(stdin);
        child.wait().await.unwrap().code()
    });
    assert_eq!(task.wait().unwrap(), Some(5));
}

fn a_child_that_is_dropped_leaves_no_zombie(on: &Systems) {
    on.alone(|| {
        let task = on.here().spawn(async {
            // One that has not been waited for, one that has, and one that is over already.
            let start = || shell("read line").stdin(Stdio::piped()).spawn().unwrap();
            let (mut fresh, mut watched, mut over) = (start(), start(), start());
            let inputs = (fresh.stdin.take(), watched.stdin.take());
            assert!(timeout(Duration::from_millis(2), watched.wait()).await.is_err());
            over.kill().await.unwrap();
            drop((fresh, watched, over));
            inputs
        });
        let inputs = task.wait().unwrap();
        assert_eq!(children_of(process::id()).len(), 2);
        drop(inputs);
        assert_no_children();
    });
}

fn a_child_whose_runtime_ends_leaves_no_zombie(on: &Systems) {
    on.alone(|| {
        let system = on.kind().build();
        let mut child = shell("read line").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        system.spawn(async move { child.wait().await }).detach();
        eventually("it waits", || system.tasks() == 1);
        system.shutdown(Duration::from_secs(10)).unwrap();
        drop(system);
        assert_eq!(children_of(process::id()).len(), 1);
        drop(stdin);
        assert_no_children();
    });
}

fn a_child_may_be_killed_with_its_handle(on: &Systems) {
    on.alone(|| {
        let task = on.here().spawn(async {
            let mut command = Command::new("sleep");
            command.arg("1000").kill_on_drop(true);
            drop(command.spawn().unwrap());
            assert!(timeout(Duration::from_millis(5), command.status()).await.is_err());
            assert!(timeout(Duration::from_millis(5), command.output()).await.is_err());
        });
        task.wait().unwrap();
        assert_no_children();
    });
}

/// Has a shell start another process, and returns its command, and the end of a connection that all of them
/// have open, which is read to its end when none is left. They have said something when both are there.
fn family(rest: &str) -> (Command, StdStream) {
    let (ours, theirs) = StdStream::pair().unwrap();
    let mut command = shell(&format!("sleep 1000 & echo x >&2; {rest}"));
    command.own_group(true).stderr(OwnedFd::from(theirs));
    (command, ours)
}

/// Waits until both processes of a family are there.
fn assert_there(family: &mut StdStream) {
    family.read_exact(&mut [0; 2]).unwrap();
}

/// Waits until none of a family is left.
fn assert_gone(mut family: StdStream) {
    assert_eq!(family.read_to_end(&mut Vec::new()).unwrap(), 0);
}

fn a_group_is_killed_with_its_leader(on: &Systems) {
    let task = on.here().spawn(async {
        let (mut command, mut killed) = family("wait");
        let mut child = command.spawn().unwrap();
        drop(command);
        assert_there(&mut killed);
        assert_eq!(child.kill().await.unwrap().signal(), Some(9));
        assert_gone(killed);
        // The leader has ended, but nobody has waited for it.
        let (mut command, mut dropped) = family("");
        let child = command.kill_on_drop(true).spawn().unwrap();
        drop(command);
        assert_there(&mut dropped);
        drop(child);
        assert_gone(dropped);
        let (mut command, mut limited) = family("yes");
        let output = command.output_limit(10).output();
        drop(command);
        assert_there(&mut limited);
        assert!(matches!(output.await, Err(OutputError::TooLong { .. })));
        assert_gone(limited);
    });
    task.wait().unwrap();
}

fn a_group_is_sent_a_signal_until_its_leader_is_waited_for(on: &Systems) {
    let task = on.here().spawn(async {
        let (mut command, mut stopped) = family("");
        let mut child = command.spawn().unwrap();
        drop(command);
        assert_there(&mut stopped);
        child.signal_group(SignalKind::TERMINATE).unwrap();
        assert_gone(stopped);
        child.wait().await.unwrap();
        let late = child.signal_group(SignalKind::TERMINATE).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::InvalidInput);
        let mut alone = Command::new("sleep").arg("1000").spawn().unwrap();
        let no_group = alone.signal_group(SignalKind::TERMINATE).unwrap_err();
        assert_eq!(no_group.raw_os_error(), Some(libc::ESRCH));
        assert_eq!(alone.try_wait().unwrap(), None);
        alone.kill().await.unwrap();
    });
    task.wait().unwrap();
}

fn too_much_output_is_an_error_that_keeps_what_was_read(on: &Systems) {
    let task = on.here().spawn(async {
        let error = Command::new("yes").output_limit(100_001).output().await.unwrap_err();
        let OutputError::TooLong { limit, status, stdout, stderr, .. } = &error else { panic!("{error}") };
        assert_eq!((*limit, stdout.len(), stderr.len()), (100_001, 100_001, 0));
        assert_eq!(status.signal(), Some(9));
        assert!(stdout.starts_with(b"y\ny\n"));
        assert!(error.to_string().contains("100001 bytes"));
        // Exactly as much is no error.
        let output = shell("printf 12345; printf 678 >&2").output_limit(8).output().await.unwrap();
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"12345"[..], &b"678"[..]));
        let error = shell("printf 12345; printf 678 >&2").output_limit(7).output().await.unwrap_err();
        let OutputError::TooLong { stdout, stderr, .. } = error else { panic!("{error}") };
        assert_eq!(stdout.len() + stderr.len(), 7);
    });
    task.wait().unwrap();
}

fn a_child_that_takes_too_long_is_an_error_that_keeps_what_was_read(on: &Systems) {
    const LIMIT: Duration = Duration::from_millis(10);
    let task = on.here().spawn(async {
        // It has written all when it is waited for, however late that is.
        let (ours, theirs) = StdStream::pair().unwrap();
        let mut command = shell("echo out; echo x >&2; exec sleep 1000");
        command.stdout(Stdio::piped()).stderr(OwnedFd::from(theirs)).timeout(LIMIT);
        let child = command.spawn().unwrap();
        (&ours).read_exact(&mut [0; 2]).unwrap();
        let error = child.wait_with_output().await.unwrap_err();
        let OutputError::TimedOut { limit, status, stdout, stderr, .. } = &error else { panic!("{error}") };
        assert_eq!((*limit, &stdout[..], &stderr[..]), (LIMIT, &b"out\n"[..], &b""[..]));
        assert_eq!(status.signal(), Some(9));
        assert!(error.to_string().contains("10ms"), "{error}");
        assert_eq!(io::Error::from(error).kind(), ErrorKind::TimedOut);
        // One that closes its output and lives on takes too long, too.
        let error = shell("exec >&- 2>&-; exec sleep 1000").timeout(LIMIT).output().await.unwrap_err();
        assert!(matches!(error, OutputError::TimedOut { .. }), "{error}");
        let error = Command::new("sleep").arg("1000").timeout(LIMIT).status().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // Its group goes with it.
        let (mut command, mut killed) = family("wait");
        let child = command.timeout(LIMIT).spawn().unwrap();
        drop(command);
        assert_there(&mut killed);
        assert!(matches!(child.wait_with_output().await, Err(OutputError::TimedOut { .. })));
        assert_gone(killed);
    });
    task.wait().unwrap();
}

fn a_child_that_has_ended_has_not_taken_too_long(on: &Systems) {
    // Alone: a child that somebody else starts at the same time has a copy of the pipes for a moment.
    on.alone(|| {
        let task = on.here().spawn(async {
            let mut command = shell("echo out; echo err >&2; exit 3");
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).timeout(Duration::ZERO);
            let child = command.spawn().unwrap();
            let stat = format!("/proc/{}/stat", child.id());
            eventually("it has ended", || fs::read_to_string(&stat).unwrap().contains(") Z "));
            let output = child.wait_with_output().await.unwrap();
            assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
            assert_eq!(output.status.code(), Some(3));
            let never = Command::new("true").timeout(Duration::MAX).status().await;
            assert!(never.unwrap().success());
        });
        task.wait().unwrap();
    });
}

fn a_child_that_never_reads_holds_nobody_up(on: &Systems) {
    let mut child = Command::new("sleep").arg("1000").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // On a stack of its own, which blocks.
    let writer = on.here().spawn_fn(move || stdin.write_all(&[7; 1 << 20]).wait().unwrap_err().kind());
    let others: Vec<_> = (0..10).map(|n| on.here().spawn(async move { n })).collect();
    assert_eq!(others.into_iter().map(|task| task.wait().unwrap()).sum::<u32>(), 45);
    assert!(!writer.is_finished());
    on.here().spawn(async move { child.kill().await }).wait().unwrap().unwrap();
    assert_eq!(writer.wait().unwrap(), ErrorKind::BrokenPipe);
}

fn both_outputs_are_read_at_a_time(on: &Systems) {
    let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; cat";
    let task = on.here().spawn(async move {
        let child = shell(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // `cat` ends because the input is closed, which is still in the handle.
        child.wait_with_output().await.unwrap()
    });
    let output = task.wait().unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 300_000));
    assert!(output.status.success());
}

fn one_child_feeds_another(on: &Systems) {
    let task = on.here().spawn(async {
        let mut one = shell("printf 'b\\na\\n'").stdout(Stdio::piped()).spawn().unwrap();
        let between = Stdio::try_from(one.stdout.take().unwrap()).unwrap();
        let output = Command::new("sort").stdin(between).output().await.unwrap();
        assert!(one.wait().await.unwrap().success());
        output.stdout
    });
    assert_eq!(task.wait().unwrap(), b"a\nb\n");
}

fn two_hundred_children_at_once(on: &Systems) {
    on.alone(|| {
        let round = || {
            let task = on.here().spawn(async {
                let children: Vec<_> = (0..200)
                    .map(|_| {
                        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
                    })
                    .collect();
                let talks = children.into_iter().enumerate().map(|(n, mut child)| async move {
                    let mut stdin = child.stdin.take().unwrap();
                    stdin.write_all(n.to_string().as_bytes()).await.unwrap();
                    drop(stdin);
                    let output = child.wait_with_output().await.unwrap();
                    assert!(output.status.success());
                    String::from_utf8(output.stdout).unwrap().parse::<usize>().unwrap()
                });
                join_all(talks).await.into_iter().sum::<usize>()
            });
            assert_eq!(task.wait().unwrap(), (0..200).sum());
        };
        let before = descriptors();
        round();
        assert_descriptors(before);
        assert_no_children();
    });
}

fn a_child_for_which_there_is_no_descriptor_is_not_started(on: &Systems) {
    on.alone(|| {
        // What is made once is made before.
        on.here().spawn(async { shell("exit 0").status().await }).wait().unwrap().unwrap();
        let before = descriptors();
        let limits = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum: limits.maximum }).unwrap();
        let mut taken = Vec::new();
        let error = loop {
            match File::open("/dev/null") {
                Ok(file) => taken.push(file),
                Err(error) => break error.raw_os_error(),
            }
        };
        let attempt = || {
            let start = || Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            on.here().spawn_fn(start).wait().unwrap()
        };
        // With none, and with fewer than it takes.
        assert_eq!(attempt().unwrap_err().raw_os_error(), error);
        for _ in 0..3 {
            taken.pop();
            if let Err(failed) = attempt() {
                assert_eq!(failed.raw_os_error(), error);
            }
        }
        // One runs, and there is no descriptor left to watch it with: it is waited for all the same, or the
        // wait says so and can be repeated.
        taken.truncate(taken.len() - 10);
        let mut child = shell("read line; exit 4").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        let task = on.here().spawn(async move {
            let first = timeout(Duration::from_millis(20), child.wait()).await;
            drop(stdin);
            drop(taken);
            let code = child.wait().await.unwrap().code();
            (first.is_err() || first.is_ok_and(|waited| waited.is_err()), code)
        });
        assert_eq!(task.wait().unwrap(), (true, Some(4)));
        setrlimit(Resource::Nofile, limits).unwrap();
        assert_no_children();
        assert_descriptors(before);
    });
}

fn children_end_well_where_their_descriptors_are_denied(on: &Systems) {
    on.alone(|| {
        deny_pidfd();
        let task = on.here().spawn(async {
            let waits = (0..20).map(|n| async move {
                let mut child = shell(&format!("read line; exit {n}")).stdin(Stdio::piped()).spawn().unwrap();
                let stdin = child.stdin.take();
                assert!(timeout(Duration::from_millis(5), child.wait()).await.is_err());
                let (status, ()) = join((child.wait(), async { drop(stdin) })).await;
                status.unwrap().code()
            });
            let codes = join_all(waits).await;
            assert_eq!(codes, (0..20).map(Some).collect::<Vec<_>>());
            // Two that nobody waits for to the end.
            let start = || shell("read line").stdin(Stdio::piped()).spawn().unwrap();
            let (mut fresh, mut watched) = (start(), start());
            let inputs = (fresh.stdin.take(), watched.stdin.take());
            assert!(timeout(Duration::from_millis(2), watched.wait()).await.is_err());
            drop((fresh, watched));
            inputs
        });
        let inputs = task.wait().unwrap();
        assert_eq!(children_of(process::id()).len(), 2);
        drop(inputs);
        assert_no_children();
    });
}

fn a_status_that_somebody_else_has_taken_is_an_error(on: &Systems) {
    on.alone(|| {
        let mut child = shell("read line").stdin(Stdio::piped()).spawn().unwrap();
        drop(child.stdin.take());
        let id = Pid::from_raw(child.id() as i32);
        waitpid(id, WaitOptions::empty()).unwrap();
        let waited = on.here().spawn(async move { child.wait().await }).wait().unwrap();
        assert_eq!(waited.unwrap_err().raw_os_error(), Some(libc::ECHILD));
    });
}
