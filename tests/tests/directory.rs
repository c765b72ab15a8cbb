//! Laws of directories, of values and watchers beside names, and of names that are looked up elsewhere.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use twoply_core::actor::{
    Actor, Builder, Context, Directory, DirectoryChange, Event, ExitReason, NameChange, Names, Pid, Process,
    ProcessRef, RegisterError, Registry, SendToNameError, Via, WrongTypeError,
};
use twoply_core::promise::{Failure, Resolver};
use twoply_core::{Wait, channel};
use twoply_tests::{System, Systems, eventually, laws, run_trapping};

laws! {
    and_mixed {
        entries_are_gone_when_the_end_is_told,
        a_watch_of_names_sees_every_change_in_order,
        a_name_is_looked_up_anew_for_each_message,
    }
    everywhere {
        a_key_leads_to_all_its_entries_in_their_order,
        an_entry_is_taken_out_once,
        a_process_that_has_ended_gets_no_entry,
        what_is_sent_to_a_key_reaches_each_entry,
        a_watch_of_entries_sees_every_change_in_order,
        a_watch_may_be_attached_to_an_actor,
        a_value_stands_beside_its_name,
        a_value_may_look_around_as_it_goes,
        a_name_may_be_looked_up_by_the_programs_own_rule,
    }
}

/// Starts a process that ends when it is sent zero.
fn mortal(system: &System) -> ProcessRef<u32> {
    let body = async |mut me: Process<u32>| while let Event::Message(1..) = me.receive().await {};
    Builder::new().on(system.backend()).spawn(body).unwrap()
}

fn end(process: &ProcessRef<u32>) {
    process.send(0).wait().unwrap();
    process.ended().wait();
}

fn a_key_leads_to_all_its_entries_in_their_order(on: &Systems) {
    let (directory, first, second) = (Directory::new(), mortal(on.here()), mortal(on.here()));
    for (key, process, value) in [("b", &first, 1), ("a", &second, 2), ("b", &second, 3), ("b", &first, 4)] {
        let entry = directory.register(key, process, value).unwrap();
        assert_eq!((entry.key(), entry.process(), *entry.value()), (key, process, value));
    }
    let values = |key| directory.lookup(key).iter().map(|entry| *entry.value()).collect::<Vec<_>>();
    assert_eq!((values("b"), values("a"), values("c")), (vec![1, 3, 4], vec![2], vec![]));
    assert_eq!(directory.keys(), ["a".into(), "b".into()]);
    assert_eq!(directory.keys_of(&second.pid()), ["a".into(), "b".into()]);
    assert_eq!((directory.len(), directory.is_empty()), (4, false));
    end(&first);
    assert_eq!((values("b"), directory.len()), (vec![3], 2));
    end(&second);
    assert!(directory.is_empty() && directory.keys().is_empty());
}

fn an_entry_is_taken_out_once(on: &Systems) {
    let (directory, process) = (Directory::new(), mortal(on.here()));
    let entries: Vec<_> =
        ["one", "two", "two"].map(|key| directory.register(key, &process, ()).unwrap()).into();
    assert!(directory.unregister(&entries[1]) && !directory.unregister(&entries[1]));
    assert_eq!(directory.lookup("two"), entries[2..]);
    assert_eq!(directory.unregister_all("two", &process.pid()), 1);
    assert_eq!(directory.unregister_all("two", &process.pid()), 0);
    assert!(directory.unregister(&entries[0]));
    assert!(directory.is_empty() && directory.keys_of(&process.pid()).is_empty());
    // One that has had none for a while is entered as if it were new.
    let again = directory.register("two", &process, ()).unwrap();
    assert_ne!(again, entries[2]);
    // An entry of another directory is none here.
    let other = Directory::new();
    let foreign = other.register("two", &process, ()).unwrap();
    assert!(!directory.unregister(&foreign));
    end(&process);
    assert!(directory.is_empty() && other.is_empty());
}

fn a_process_that_has_ended_gets_no_entry(on: &Systems) {
    let (directory, process) = (Directory::new(), mortal(on.here()));
    end(&process);
    let refused = directory.register("late", &process, ());
    assert_eq!(refused, Err(RegisterError::NoProcess(process.pid())));
    assert!(directory.is_empty());
}

fn what_is_sent_to_a_key_reaches_each_entry(on: &Systems) {
    let directory = Directory::<u32>::new();
    let processes = [mortal(on.here()), mortal(on.there()), mortal(on.here())];
    for (process, key) in processes.iter().zip(["x", "x", "y"]) {
        directory.register(key, process, ()).unwrap();
    }
    assert_eq!(directory.broadcast("x", &0), 2);
    processes[..2].iter().for_each(|process| drop(process.ended().wait()));
    assert_eq!((directory.broadcast("x", &0), directory.len()), (0, 1));
    end(&processes[2]);
}

fn entries_are_gone_when_the_end_is_told(on: &Systems) {
    for reason in [ExitReason::Normal, ExitReason::Shutdown, ExitReason::Kill] {
        for _ in 0..20 {
            let (directory, process) = (Directory::new(), mortal(on.there()));
            directory.register("key", &process, 'a').unwrap();
            directory.register("key", &process, 'b').unwrap();
            let seen = directory.clone();
            let reason = reason.clone();
            let left = run_trapping(on.here(), move |mut me| {
                me.link(&process.pid());
                me.monitor(&process.pid());
                match reason {
                    ExitReason::Normal => process.try_send(0).unwrap(),
                    reason => process.exit(reason),
                }
                [me.receive().wait(), me.receive().wait()].map(|_| seen.len())
            });
            assert_eq!(left, [0, 0], "with the first word of it");
        }
    }
}

fn a_watch_of_names_sees_every_change_in_order(on: &Systems) {
    let (registry, first) = (Registry::new(), mortal(on.here()));
    registry.register("before", &first).unwrap();
    let (names, changes) = registry.watch();
    assert_eq!(names, [("before".into(), first.pid())]);
    let processes: Vec<_> = (0..8).map(|_| mortal(on.there())).collect();
    let rounds: Vec<_> = processes
        .iter()
        .enumerate()
        .map(|(index, process)| {
            let (registry, process) = (registry.clone(), process.clone());
            on.there().spawn_fn(move || {
                registry.register(format!("{index}"), &process).unwrap();
                registry.register(format!("{index}, too"), &process).unwrap();
                registry.unregister(&format!("{index}"));
                end(&process);
            })
        })
        .collect();
    rounds.into_iter().for_each(|round| round.wait().unwrap());
    registry.unregister("before");
    let mut now = names;
    let mut seen = 0;
    while now.iter().any(|(name, _)| **name == *"before") {
        seen += 1;
        match changes.recv().wait().unwrap() {
            NameChange::Registered(name, pid) => now.push((name, pid)),
            NameChange::Unregistered(name, pid) => {
                let at = now.iter().position(|entry| *entry == (Arc::clone(&name), pid.clone()));
                now.remove(at.unwrap_or_else(|| panic!("{name} was never given to {pid}")));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((seen, now), (8 * 4 + 1, vec![]));
    drop(changes);
    registry.register("after", &first).unwrap();
    end(&first);
}

fn a_watch_of_entries_sees_every_change_in_order(on: &Systems) {
    let (directory, process) = (Directory::new(), mortal(on.there()));
    let before = directory.register("key", &process, 1).unwrap();
    let (entries, changes) = directory.watch();
    assert_eq!(entries, std::slice::from_ref(&before));
    let second = directory.register("other", &process, 2).unwrap();
    directory.unregister(&before);
    end(&process);
    let told = [(); 3].map(|()| match changes.recv().wait().unwrap() {
        DirectoryChange::Registered(entry) => (true, *entry.value(), entry == second),
        DirectoryChange::Unregistered(entry) => (false, *entry.value(), entry == second),
        other => panic!("{other:?}"),
    });
    assert_eq!(told, [(true, 2, true), (false, 1, false), (false, 2, true)]);
    drop(directory);
    assert!(changes.recv().wait().is_err(), "there is nothing any more to hear of");
}

/// Keeps who has which name.
struct Listener(Registry, channel::Sender<NameChange>);

impl Actor for Listener {
    type Message = NameChange;
    type Error = Infallible;

    async fn started(&mut self, cx: &mut Context<Listener>) -> Result<(), Infallible> {
        let (_, changes) = self.0.watch();
        cx.attach(changes, |change| change);
        Ok(())
    }

    async fn handle(&mut self, change: NameChange, _: &mut Context<Listener>) -> Result<(), Infallible> {
        let _ = self.1.send(change).await;
        Ok(())
    }
}

fn a_watch_may_be_attached_to_an_actor(on: &Systems) {
    let (registry, (tell, told)) = (Registry::new(), channel::unbounded());
    let builder = Builder::new().on(on.there().backend());
    let listener = builder.start_actor(Listener(registry.clone(), tell)).wait().unwrap();
    let process = mortal(on.here());
    registry.register("one", &process).unwrap();
    assert_eq!(told.recv().wait().unwrap(), NameChange::Registered("one".into(), process.pid()));
    end(&process);
    assert_eq!(told.recv().wait().unwrap(), NameChange::Unregistered("one".into(), process.pid()));
    listener.exit(ExitReason::Kill);
}

fn a_value_stands_beside_its_name(on: &Systems) {
    let (registry, process) = (Registry::new(), mortal(on.here()));
    assert!(!registry.set_value("name", 1), "nobody has the name");
    registry.register_with("name", &process, 1_u8).unwrap();
    assert_eq!(registry.value::<u8>("name").as_deref(), Some(&1));
    assert_eq!(registry.value::<u32>("name"), None);
    assert!(registry.set_value("name", "text"));
    assert_eq!(registry.value::<&str>("name").as_deref(), Some(&"text"));
    let refused = registry.register_with("name", &process, 2_u8);
    assert_eq!(refused, Err(RegisterError::Taken("name".into(), process.pid())));
    registry.register("plain", &process).unwrap();
    assert_eq!(registry.value::<u8>("plain"), None);
    registry.unregister("name");
    assert_eq!(registry.value::<&str>("name"), None);
    end(&process);
}

/// Looks at what it was kept in when it is dropped.
struct Nosy {
    registry: Registry,
    directory: Directory<u32, Nosy>,
    seen: Arc<Mutex<Vec<(usize, usize)>>>,
}

impl Drop for Nosy {
    fn drop(&mut self) {
        let seen = (self.registry.registered().len(), self.directory.len());
        self.seen.lock().unwrap().push(seen);
    }
}

fn a_value_may_look_around_as_it_goes(on: &Systems) {
    let (registry, directory, seen) = (Registry::new(), Directory::new(), Arc::<Mutex<Vec<_>>>::default());
    let nosy = || Nosy { registry: registry.clone(), directory: directory.clone(), seen: Arc::clone(&seen) };
    let process = mortal(on.there());
    registry.register_with("name", &process, nosy()).unwrap();
    registry.set_value("name", nosy());
    assert!(registry.register_with("name", &process, nosy()).is_err());
    assert!(!registry.set_value("nobody", nosy()));
    let entry = directory.register("key", &process, nosy()).unwrap();
    directory.unregister(&entry);
    drop(entry);
    drop(directory.register("key", &process, nosy()).unwrap());
    end(&process);
    eventually("all have gone", || seen.lock().unwrap().len() == 6);
    assert!(directory.register("key", &process, nosy()).is_err());
    assert_eq!(seen.lock().unwrap().len(), 7);
}

fn a_name_is_looked_up_anew_for_each_message(on: &Systems) {
    let registry = Registry::new();
    let via = Via::new(registry.clone(), "clerk");
    assert_eq!(via.name(), "clerk");
    for round in 0..3 {
        let refused = via.send(Question(None)).wait();
        assert!(matches!(refused, Err(SendToNameError::NoName(..))), "{round}");
        let body = async move |mut me: Process<Question>| {
            while let Event::Message(Question(Some(reply))) = me.receive().await {
                let _ = reply.resolve(round);
            }
        };
        let builder = Builder::new().on(on.there().backend()).register_in(&registry, "clerk");
        let clerk = builder.spawn(body).unwrap();
        assert_eq!(via.whereis().unwrap(), Some(clerk.clone()));
        let asked = via.clone();
        let asked = on.here().spawn(async move { asked.ask(|reply| Question(Some(reply))).await });
        assert_eq!(asked.wait().unwrap().unwrap(), round);
        via.try_send(Question(None)).unwrap();
        clerk.ended().wait();
    }
    let failure = via.ask(|reply| Question(Some(reply))).wait().unwrap_err();
    assert!(matches!(failure, Failure::NoProcess(ExitReason::NoProcess)), "{failure}");
    let other = mortal(on.here());
    registry.register("clerk", &other).unwrap();
    assert!(matches!(via.try_send(Question(None)), Err(SendToNameError::WrongType(..))));
    let failure = via.ask(|reply| Question(Some(reply))).wait().unwrap_err();
    assert!(failure.to_string().contains("takes messages of type u32"), "{failure}");
    end(&other);
}

/// Asks for the number of the one who answers; `None` is the word to end.
#[derive(Debug)]
struct Question(Option<Resolver<u32>>);

/// Leads a name to the process at the index that its length gives.
struct ByLength(Vec<ProcessRef<u32>>);

impl Names<u32> for ByLength {
    fn whereis(&self, name: &str) -> Result<Option<ProcessRef<u32>>, WrongTypeError> {
        Ok(self.0.get(name.len()).cloned())
    }
}

fn a_name_may_be_looked_up_by_the_programs_own_rule(on: &Systems) {
    let processes = vec![mortal(on.here()), mortal(on.there())];
    let pids: Vec<Pid> = processes.iter().map(ProcessRef::pid).collect();
    for (index, name) in ["", "a"].into_iter().enumerate() {
        let via = Via::new(ByLength(processes.clone()), name);
        assert_eq!(via.whereis().unwrap().unwrap().pid(), pids[index]);
        via.send(0).wait().unwrap();
        assert_eq!(pids[index].ended().wait(), ExitReason::Normal);
        assert!(matches!(via.send(1).wait(), Err(SendToNameError::Closed(1))));
    }
    assert!(matches!(Via::new(ByLength(Vec::new()), "a").try_send(3), Err(SendToNameError::NoName(_, 3))));
    // The entry that has been there longest is the one that its key leads to.
    let (directory, process) = (Directory::new(), mortal(on.here()));
    directory.register("key", &process, ()).unwrap();
    let second = mortal(on.here());
    directory.register("key", &second, ()).unwrap();
    let via = Via::new(directory, "key");
    via.send(0).wait().unwrap();
    process.ended().wait();
    via.send(0).wait().unwrap();
    second.ended().wait();
}
