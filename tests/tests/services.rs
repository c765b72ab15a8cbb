//! Services that come and go: what is sent to one that is away arrives once and in order, or is said not to
//! have arrived; and what nobody can know is told as such.

use std::convert::Infallible;
use std::env;
use std::fs::{self, OpenOptions};
use std::future::{Future, pending};
use std::io::{self, Read, Write};
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use twoply_core::actor::supervisor::Backoff;
use twoply_core::actor::{
    Actor, AskServiceError, Builder, Context, Event, ExitReason, NamedService, Presence, Process, ProcessRef,
    Registry, SendToServiceError, Service, ServiceBuilder, ServiceRef, Session, WhileAway,
};
use twoply_core::channel::Receiver;
use twoply_core::future::join_all;
use twoply_core::net::UnixStream;
use twoply_core::promise::Resolver;
use twoply_core::stream::Stream;
use twoply_core::{Wait, channel, select};
use twoply_tests::{Gate, System, Systems, eventually, laws};

laws! {
    and_mixed {
        what_is_sent_while_a_name_is_free_arrives_once_and_in_order,
        a_child_that_is_killed_and_started_again_gets_nothing_twice,
    }
    everywhere {
        a_child_is_killed_again_and_again,
        a_queue_is_bounded,
        a_service_that_is_away_may_refuse,
        what_was_accepted_is_not_refused_afterwards,
        the_presence_of_a_service_is_a_source_of_states,
        a_name_that_is_given_up_is_away,
        a_message_for_which_there_was_no_room_is_put_back,
        questions_in_the_hands_of_a_session_that_ends_are_unknown,
        a_question_that_no_session_has_taken_was_not_sent,
        a_message_that_is_put_back_was_not_sent,
        the_queue_is_sent_after_the_last_reference_is_gone,
        a_reference_without_a_queue_ends_with_its_last_clone,
        a_session_that_fails_while_nobody_refers_to_it_is_the_last,
        what_is_queued_at_the_end_goes_to_the_hook_in_order,
        a_session_that_panics_ends_the_reference,
        a_name_with_other_messages_is_away,
    }
}

/// A question, or a message if nobody waits for the answer.
struct Say(u32, Option<Resolver<u32>>);

/// The settings of a reference that looks for its service all the time.
fn eager<M: Send + 'static>(on: &Systems) -> ServiceBuilder<M> {
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(5));
    ServiceRef::builder().on(on.here().backend()).backoff(backoff)
}

/// Starts a process with this name that hands on what it receives.
fn named(system: &System, registry: &Registry, name: &str) -> (ProcessRef<u32>, Receiver<u32>) {
    let (tell, told) = channel::unbounded();
    let body = async move |mut me: Process<u32>| {
        while let Event::Message(number) = me.receive().await {
            let _ = tell.try_send(number);
        }
    };
    let process = Builder::new().on(system.backend()).register_in(registry, name).spawn(body).unwrap();
    (process, told)
}

fn take(told: &Receiver<u32>, messages: usize) -> Vec<u32> {
    (0..messages).map(|_| told.recv().wait().unwrap()).collect()
}

fn wait_present<M: Send + 'static>(service: &ServiceRef<M>, present: bool) {
    service.presence().wait_for(|state| state.is_present() == present).wait().unwrap();
}

fn what_is_sent_while_a_name_is_free_arrives_once_and_in_order(on: &Systems) {
    let registry = Registry::new();
    let service = eager(on).start(NamedService::<u32>::new(&registry, "clerk")).unwrap();
    for round in 0..5 {
        assert!(!service.is_present());
        for number in 0..10 {
            service.send(10 * round + number).wait().unwrap();
        }
        assert_eq!(service.queued(), 10);
        let (process, told) = named(on.there(), &registry, "clerk");
        assert_eq!(take(&told, 10), (10 * round..10 * round + 10).collect::<Vec<_>>());
        wait_present(&service, true);
        assert_eq!(*service.presence().latest(), Presence::Present(u64::from(round) + 1));
        process.exit(ExitReason::Shutdown);
        wait_present(&service, false);
        assert_eq!(*service.presence().latest(), Presence::Away(ExitReason::Shutdown));
        assert!(told.recv().wait().is_err(), "nothing is sent twice");
    }
}

/// The name of the variable that tells a child where its socket and its log are.
const FOLDER: &str = "TWOPLY_TESTS_SERVICE";

/// A number that the child takes and does not answer.
const STALL: u32 = u32::MAX;

/// The child: it notes what it gets in a file, and answers.
fn serve_in_child() {
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    // That of the one before it is still there.
    let _ = fs::remove_file(folder.join("socket"));
    let listener = std_unix::UnixListener::bind(folder.join("socket")).unwrap();
    let mut log = OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    while let Ok((mut peer, _)) = listener.accept() {
        let mut number = [0; 4];
        if peer.write_all(&number).is_err() {
            continue;
        }
        while peer.read_exact(&mut number).is_ok() {
            log.write_all(&number).unwrap();
            if u32::from_be_bytes(number) == STALL {
                loop {
                    std::thread::park();
                }
            }
            if peer.write_all(&number).is_err() {
                break;
            }
        }
    }
}

/// The way to the child: one question at a time.
struct Child(PathBuf);

impl Service for Child {
    type Message = Say;
    type Error = io::Error;

    async fn serve(&mut self, session: &mut Session<Say>) -> io::Result<()> {
        let stream = UnixStream::connect(self.0.join("socket")).await?;
        let mut answer = [0; 4];
        // A child that dies may take a connection, and no question. One that lives begins with a word.
        stream.read_exact(&mut answer).await?;
        session.present();
        loop {
            let said = select! { await;
                said = session.receive() => said,
                // The child says nothing unasked: this is its end.
                read = stream.read(&mut answer) => return read.and(Err(io::ErrorKind::UnexpectedEof.into())),
            };
            let Some(Say(number, reply)) = said else { return Ok(()) };
            stream.write_all(&number.to_be_bytes()).await?;
            stream.read_exact(&mut answer).await?;
            if let Some(reply) = reply {
                let _ = reply.resolve(u32::from_be_bytes(answer));
            }
        }
    }
}

/// A folder of a test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(on: &Systems) -> Folder {
        let name = format!("twoply-{}-{}", process::id(), on.name().replace("::", "-"));
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// What children have noted.
    fn log(&self) -> Vec<u32> {
        let bytes = fs::read(self.0.join("log")).unwrap_or_default();
        bytes.chunks_exact(4).map(|number| u32::from_be_bytes(number.try_into().unwrap())).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A child that is killed when this is dropped.
struct Killed(process::Child);

impl Killed {
    fn start(mut command: process::Command, folder: &Path) -> Killed {
        command.env(FOLDER, folder).stdin(process::Stdio::null());
        command.stdout(process::Stdio::null()).stderr(process::Stdio::null());
        Killed(command.spawn().unwrap())
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(
    service: &ServiceRef<Say>,
    number: u32,
) -> impl Future<Output = Result<u32, AskServiceError>> + Send + use<> {
    let service = service.clone();
    async move { service.ask(|reply| Say(number, Some(reply))).await }
}

fn a_child_that_is_killed_and_started_again_gets_nothing_twice(on: &Systems) {
    let child = || on.child(serve_in_child);
    let first = child();
    let folder = Folder::new(on);
    let service = eager(on).start(Child(folder.0.clone())).unwrap();

    // There is no child yet.
    let asked = on.there().spawn(join_all([1, 2, 3].map(|number| ask(&service, number))));
    service.try_send(Say(4, None)).map_err(|_| "full").unwrap();
    let running = Killed::start(first, &folder.0);
    let answers = asked.wait().unwrap().into_iter().collect::<Result<Vec<_>, _>>();
    assert_eq!(answers.unwrap(), [1, 2, 3]);

    // It gets a question, and dies without an answer.
    let stalled = on.there().spawn(ask(&service, STALL));
    eventually("it is with the child", || folder.log().last() == Some(&STALL));
    let asked = on.there().spawn(join_all([5, 6, 7].map(|number| ask(&service, number))));
    eventually("they are queued", || service.queued() == 3);
    drop(running);
    let unknown = stalled.wait().unwrap().unwrap_err();
    assert!(matches!(unknown, AskServiceError::Unknown(_)), "{unknown}");
    wait_present(&service, false);
    assert_eq!(service.queued(), 3, "nothing of the queue is lost");

    let _running = Killed::start(child(), &folder.0);
    let answers = asked.wait().unwrap().into_iter().collect::<Result<Vec<_>, _>>();
    assert_eq!(answers.unwrap(), [5, 6, 7]);
    let mut log = folder.log();
    // The message was sent by another task than the first questions, so it may be before, among or behind
    // them.
    let at = log.iter().position(|number| *number == 4).unwrap();
    log.remove(at);
    assert_eq!(log, [1, 2, 3, STALL, 5, 6, 7]);
}

fn a_child_is_killed_again_and_again(on: &Systems) {
    const ROUNDS: u32 = 5;
    let child = || on.child(serve_in_child);
    let first = child();
    let folder = Folder::new(on);
    let service = eager(on).capacity(8).start(Child(folder.0.clone())).unwrap();
    let stop = Gate::new();
    let asking = {
        let (service, stop) = (service.clone(), stop.clone());
        // One task asks again and again, whatever comes of it.
        on.here().spawn(async move {
            let mut outcomes = Vec::new();
            while !stop.is_open() {
                let numbers = (outcomes.len() as u32..).take(4);
                outcomes.extend(join_all(numbers.map(|number| ask(&service, number))).await);
            }
            outcomes
        })
    };
    let mut running = Killed::start(first, &folder.0);
    for round in 0..ROUNDS {
        let before = folder.log().len();
        eventually("the child is served", || folder.log().len() > before + 3 + round as usize);
        drop(running);
        running = Killed::start(child(), &folder.0);
    }
    stop.open();
    let outcomes = asking.wait().unwrap();
    let log = folder.log();
    assert!(log.is_sorted_by(|one, next| one < next), "each came once and in order: {log:?}");
    let mut unknown = 0;
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(answer) => {
                assert_eq!(*answer as usize, number);
                assert!(log.contains(answer), "{number} was answered and never came");
            }
            Err(AskServiceError::Unknown(_)) => unknown += 1,
            Err(other) => panic!("{number}: {other}"),
        }
    }
    assert!(unknown <= ROUNDS, "a session has one question in hand at a time: {unknown} are unknown");
    drop(running);
}

fn a_queue_is_bounded(on: &Systems) {
    let registry = Registry::new();
    let service = eager(on).capacity(2).start(NamedService::<u32>::new(&registry, "clerk")).unwrap();
    service.try_send(1).unwrap();
    service.send(2).wait().unwrap();
    assert_eq!(service.try_send(3), Err(SendToServiceError::Full(3)));
    let waiting = {
        let service = service.clone();
        on.here().spawn(async move { service.send(3).await })
    };
    let (_process, told) = named(on.here(), &registry, "clerk");
    assert_eq!(take(&told, 3), [1, 2, 3]);
    waiting.wait().unwrap().unwrap();
}

fn a_service_that_is_away_may_refuse(on: &Systems) {
    let registry = Registry::new();
    let service =
        eager(on).while_away(WhileAway::Refuse).start(NamedService::<u32>::new(&registry, "clerk")).unwrap();
    assert_eq!(service.try_send(1), Err(SendToServiceError::Away(1)));
    assert_eq!(service.send(2).wait(), Err(SendToServiceError::Away(2)));
    let refused = service.ask(|_: Resolver<()>| 3).wait().unwrap_err();
    assert!(matches!(refused, AskServiceError::Away), "{refused}");
    let (process, told) = named(on.here(), &registry, "clerk");
    wait_present(&service, true);
    service.try_send(4).unwrap();
    assert_eq!(take(&told, 1), [4]);
    process.exit(ExitReason::Shutdown);
    wait_present(&service, false);
    assert_eq!(service.try_send(5), Err(SendToServiceError::Away(5)));
    service.exit(ExitReason::Shutdown);
    service.ended().wait();
    assert_eq!(service.try_send(6), Err(SendToServiceError::Closed(6)), "that is another thing");
}

/// A service whose sessions are told what to do.
struct Scripted(Receiver<Step>);

/// What a session does, once it has begun.
enum Step {
    /// It tells that the service is there.
    Present,
    /// It receives a message.
    Receive,
    /// It receives a message and puts it back.
    PutBack,
    /// It receives two messages and puts them back, the last one first.
    PutBackTwo,
    /// It fails.
    Fail,
    /// It panics.
    Panic,
}

impl Service for Scripted {
    type Message = Say;
    type Error = &'static str;

    async fn serve(&mut self, session: &mut Session<Say>) -> Result<(), &'static str> {
        let mut in_hand = Vec::new();
        while let Ok(step) = self.0.recv().await {
            match step {
                Step::Present => session.present(),
                Step::Receive => match session.receive().await {
                    Some(said) => in_hand.push(said),
                    None => return Ok(()),
                },
                Step::PutBack => {
                    if let Some(said) = session.receive().await {
                        session.put_back(said);
                    }
                }
                Step::PutBackTwo => {
                    let (first, last) = (session.receive().await, session.receive().await);
                    [last, first].into_iter().flatten().for_each(|said| session.put_back(said));
                }
                Step::Fail => return Err("expected"),
                Step::Panic => panic!("expected"),
            }
        }
        pending().await
    }
}

fn scripted(on: &Systems, settings: ServiceBuilder<Say>) -> (ServiceRef<Say>, channel::Sender<Step>) {
    let (tell, told) = channel::unbounded();
    (settings.on(on.here().backend()).start(Scripted(told)).unwrap(), tell)
}

/// Waits until a session has failed.
fn wait_failed(service: &ServiceRef<Say>) {
    let has_failed = |state: &Presence| matches!(state, Presence::Away(ExitReason::Failed(_)));
    service.presence().wait_for(has_failed).wait().unwrap();
}

fn play(script: &channel::Sender<Step>, steps: impl IntoIterator<Item = Step>) {
    steps.into_iter().for_each(|step| script.try_send(step).map_err(|_| "closed").unwrap());
}

fn what_was_accepted_is_not_refused_afterwards(on: &Systems) {
    let (service, script) = scripted(on, eager(on).while_away(WhileAway::Refuse));
    play(&script, [Step::Present]);
    wait_present(&service, true);
    let asked = on.here().spawn(ask(&service, 1));
    eventually("it is queued", || service.queued() == 1);
    play(&script, [Step::Fail]);
    wait_present(&service, false);
    assert!(!asked.is_finished());
    play(&script, [Step::Receive, Step::Fail]);
    assert!(matches!(asked.wait().unwrap(), Err(AskServiceError::Unknown(_))));
}

/// An actor that is attached to the states of a service, and hands on whether it is there; `None` at the end.
struct Watcher(ServiceRef<u32>, channel::Sender<Option<bool>>);

impl Actor for Watcher {
    type Message = Option<bool>;
    type Error = Infallible;

    async fn started(&mut self, cx: &mut Context<Watcher>) -> Result<(), Infallible> {
        let states = self.0.presence().into_stream().into_source();
        cx.attach_to_end(states, |state: Option<Arc<Presence>>| Some(state.map(|state| state.is_present())));
        Ok(())
    }

    async fn handle(&mut self, state: Option<bool>, _: &mut Context<Watcher>) -> Result<(), Infallible> {
        let _ = self.1.try_send(state);
        Ok(())
    }
}

fn the_presence_of_a_service_is_a_source_of_states(on: &Systems) {
    let registry = Registry::new();
    let service = eager(on).start(NamedService::<u32>::new(&registry, "clerk")).unwrap();
    let (tell, told) = channel::unbounded();
    let watcher = Builder::new().on(on.here().backend()).spawn_actor(Watcher(service.clone(), tell)).unwrap();
    for _ in 0..3 {
        let (process, _told) = named(on.here(), &registry, "clerk");
        assert_eq!(told.recv().wait(), Ok(Some(true)));
        process.exit(ExitReason::Shutdown);
        assert_eq!(told.recv().wait(), Ok(Some(false)));
    }
    service.exit(ExitReason::Shutdown);
    let end = || std::iter::from_fn(|| told.recv().wait().ok()).find(Option::is_none);
    assert_eq!(end(), Some(None), "no other state will come");
    watcher.exit(ExitReason::Shutdown);
}

fn a_name_that_is_given_up_is_away(on: &Systems) {
    let registry = Registry::new();
    let service = eager(on).start(NamedService::<u32>::new(&registry, "clerk")).unwrap();
    let (first, _told) = named(on.here(), &registry, "clerk");
    wait_present(&service, true);
    registry.unregister("clerk").unwrap();
    wait_present(&service, false);
    service.try_send(1).unwrap();
    assert!(!first.is_closed());
    let (_second, told) = named(on.here(), &registry, "clerk");
    assert_eq!(take(&told, 1), [1]);
}

fn a_message_for_which_there_was_no_room_is_put_back(on: &Systems) {
    let registry = Registry::new();
    let service = eager(on).start(NamedService::<u32>::new(&registry, "clerk")).unwrap();
    let (left, lost) = channel::unbounded();
    let full = Builder::new()
        .on(on.here().backend())
        .capacity(1)
        .register_in(&registry, "clerk")
        .on_undelivered(move |number: u32| left.try_send(number).unwrap())
        .spawn(async |_: Process<u32>| pending::<()>().await)
        .unwrap();
    (1..=4).for_each(|number| service.try_send(number).unwrap());
    eventually("one has arrived, and one is in between", || full.len() == 1 && service.queued() == 2);
    full.exit(ExitReason::Shutdown);
    assert_eq!(lost.recv().wait(), Ok(1), "that it had, and left");
    let (_clerk, told) = named(on.here(), &registry, "clerk");
    assert_eq!(take(&told, 3), [2, 3, 4]);
}

fn questions_in_the_hands_of_a_session_that_ends_are_unknown(on: &Systems) {
    let (service, script) = scripted(on, eager(on));
    let asked = on.here().spawn(join_all((0..5).map(|number| ask(&service, number))));
    play(&script, [Step::Receive, Step::Receive, Step::Receive, Step::Fail]);
    eventually("three were taken", || service.queued() == 2 && !service.is_present());
    service.exit(ExitReason::Shutdown);
    let outcomes: Vec<_> = asked.wait().unwrap().into_iter().map(Result::unwrap_err).collect();
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            AskServiceError::Unknown(_) => assert!(number < 3, "{number}: {outcome}"),
            AskServiceError::NotSent(_) => assert!(number >= 3, "{number}: {outcome}"),
            other => panic!("{number}: {other}"),
        }
    }
}

fn a_question_that_no_session_has_taken_was_not_sent(on: &Systems) {
    let (service, _script) = scripted(on, eager(on));
    let asked = on.here().spawn(ask(&service, 1));
    eventually("it is queued", || service.queued() == 1);
    service.exit(ExitReason::Shutdown);
    assert!(matches!(asked.wait().unwrap(), Err(AskServiceError::NotSent(_))));
    assert!(matches!(ask(&service, 2).wait(), Err(AskServiceError::NotSent(_))));
}

fn a_message_that_is_put_back_was_not_sent(on: &Systems) {
    let (service, script) = scripted(on, eager(on));
    let asked = on.here().spawn(join_all([ask(&service, 1), ask(&service, 2)]));
    play(&script, [Step::PutBack, Step::PutBack, Step::Fail]);
    wait_failed(&service);
    // The second may have been asked after all that.
    eventually("both are queued", || service.queued() == 2);
    service.exit(ExitReason::Shutdown);
    let outcomes = asked.wait().unwrap();
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Err(AskServiceError::NotSent(_)))),
        "{outcomes:?}"
    );
}

fn the_queue_is_sent_after_the_last_reference_is_gone(on: &Systems) {
    let registry = Registry::new();
    let service = eager(on).start(NamedService::<u32>::new(&registry, "clerk")).unwrap();
    (1..=3).for_each(|number| service.try_send(number).unwrap());
    let ended = service.ended();
    drop(service.clone());
    drop(service);
    let (_clerk, told) = named(on.here(), &registry, "clerk");
    assert_eq!(take(&told, 3), [1, 2, 3]);
    assert_eq!(ended.wait(), ExitReason::Normal);
}

fn a_reference_without_a_queue_ends_with_its_last_clone(on: &Systems) {
    let registry = Registry::new();
    // One whose service was never there, and one whose service is there.
    let (_clerk, told) = named(on.here(), &registry, "present");
    for name in ["absent", "present"] {
        let service = eager(on).start(NamedService::<u32>::new(&registry, name)).unwrap();
        if name == "present" {
            service.send(7).wait().unwrap();
            assert_eq!(take(&told, 1), [7]);
        }
        let (ended, mut states) = (service.ended(), service.presence());
        drop(service);
        assert!(ended.wait().is_orderly(), "{name}");
        assert_eq!(*states.latest(), Presence::Away(ExitReason::NoProcess));
        assert!(states.changed().wait().is_err());
    }
}

fn a_session_that_fails_while_nobody_refers_to_it_is_the_last(on: &Systems) {
    let (service, script) = scripted(on, eager(on));
    service.try_send(Say(1, None)).map_err(|_| "full").unwrap();
    play(&script, [Step::Receive]);
    eventually("it is taken", || service.queued() == 0);
    let ended = service.ended();
    drop(service);
    play(&script, [Step::Fail]);
    assert_eq!(ended.wait(), ExitReason::Normal, "there is nothing to come back for");
}

fn what_is_queued_at_the_end_goes_to_the_hook_in_order(on: &Systems) {
    let found = Arc::new(Mutex::new(Vec::new()));
    let lost = Arc::clone(&found);
    let settings = eager(on).on_undelivered(move |Say(number, _)| {
        lost.lock().unwrap().push(number);
        if number == 2 {
            panic!("expected");
        }
    });
    let (service, script) = scripted(on, settings);
    (1..=3).for_each(|number| service.try_send(Say(number, None)).map_err(|_| "full").unwrap());
    play(&script, [Step::PutBackTwo, Step::Fail]);
    wait_failed(&service);
    service.exit(ExitReason::Shutdown);
    assert_eq!(service.ended().wait(), ExitReason::Shutdown);
    eventually("all are told", || found.lock().unwrap().len() == 3);
    assert_eq!(*found.lock().unwrap(), [1, 2, 3]);
}

fn a_session_that_panics_ends_the_reference(on: &Systems) {
    let (service, script) = scripted(on, eager(on));
    let asked = on.here().spawn(ask(&service, 1));
    play(&script, [Step::Receive, Step::Panic]);
    assert!(matches!(service.ended().wait(), ExitReason::Panicked(_)));
    assert!(matches!(asked.wait().unwrap(), Err(AskServiceError::Unknown(_))));
    assert!(matches!(service.try_send(Say(2, None)), Err(SendToServiceError::Closed(_))));
    assert!(!service.is_present());
}

fn a_name_with_other_messages_is_away(on: &Systems) {
    let registry = Registry::new();
    let _other = Builder::<String>::new()
        .on(on.here().backend())
        .register_in(&registry, "clerk")
        .spawn(async |_| pending::<()>().await)
        .unwrap();
    let service = eager(on).start(NamedService::<u32>::new(&registry, "clerk")).unwrap();
    service.try_send(1_u32).unwrap();
    let mut states = service.presence();
    let why = states.wait_for(|state| matches!(state, Presence::Away(ExitReason::Failed(_)))).wait().unwrap();
    assert!(format!("{why:?}").contains("String"), "{why:?}");
    registry.unregister("clerk").unwrap();
    let (_clerk, told) = named(on.here(), &registry, "clerk");
    assert_eq!(take(&told, 1), [1]);
}
