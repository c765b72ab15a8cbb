//! Each public error can be boxed, sent and kept: it is what anyhow, eyre and `Box<dyn Error + Send + Sync>`
//! take by `?`.
#![cfg(all(feature = "native", feature = "green"))]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use twoply::sync::{Mutex, OwnedMutexGuard};
use twoply::{actor, channel, contract, fs as files, future, green_backend, io, net, port, process, promise};
use twoply::{runtime, sync, task, time};
use twoply_node as node;

/// Asserts at compile time that an error goes wherever errors go, and returns its name.
fn of<E: Error + Send + Sync + 'static>() -> String {
    let path = std::any::type_name::<E>();
    let path = path.split('<').next().expect("there is a name");
    path.rsplit("::").next().expect("there is a name").to_owned()
}

/// The errors that hand back what was to be sent do so whatever that is.
struct Cargo;

/// Returns the names of all public errors.
fn all() -> BTreeSet<String> {
    let of_core = [
        of::<actor::AskServiceError>(),
        of::<actor::ExitReason>(),
        of::<actor::RegisterError>(),
        of::<actor::SendToNameError<Cargo>>(),
        of::<actor::SendToServiceError<Cargo>>(),
        of::<actor::SpawnProcessError>(),
        of::<actor::StartActorError>(),
        of::<actor::WrongTypeError>(),
        of::<actor::supervisor::ChildError>(),
        of::<actor::supervisor::Ignore>(),
        of::<actor::supervisor::PlanError>(),
        of::<actor::supervisor::StartError>(),
        of::<channel::RecvError>(),
        of::<channel::ReserveError>(),
        of::<channel::SendError<Cargo>>(),
        of::<channel::SendTimeoutError<Cargo>>(),
        of::<channel::TryRecvError>(),
        of::<channel::TrySendError<Cargo>>(),
        of::<channel::broadcast::RecvError>(),
        of::<channel::broadcast::TryRecvError>(),
        of::<contract::timers::Closed>(),
        of::<files::PathError>(),
        of::<future::SuspendError>(),
        of::<io::CopyBidirectionalError>(),
        of::<io::CopyError>(),
        of::<io::LimitExceeded>(),
        of::<io::WouldBlock>(),
        of::<net::ReuniteError>(),
        of::<port::CodecError>(),
        of::<port::PortError>(),
        of::<process::OutputError>(),
        of::<promise::Failure>(),
        of::<promise::ResolveError<Cargo>>(),
        of::<runtime::HooksAlreadySet>(),
        of::<sync::AcquireError>(),
        of::<sync::LockError<OwnedMutexGuard<Mutex<u32>>>>(),
        of::<sync::TryAcquireError>(),
        of::<task::AccessError>(),
        of::<task::SpawnError>(),
        of::<time::TimeoutError>(),
    ];
    let of_others = [
        of::<green_backend::IntoHostError>(),
        of::<node::CallError>(),
        of::<node::ConnectError>(),
        of::<node::PgError>(),
        of::<node::RegisterError>(),
        of::<node::RpcError>(),
        of::<node::StartError>(),
        of::<node::wire::AtomError>(),
        of::<node::wire::DecodeError>(),
        of::<node::wire::EncodeError>(),
        of::<node::wire::FrameError>(),
        of::<node::wire::TooBig>(),
        of::<node::wire::Why>(),
        of::<node::wire::EpmdError>(),
        of::<node::wire::HandshakeError>(),
        of::<node::wire::NameError>(),
        of::<runtime::ParseBackendError>(),
    ];
    of_core.into_iter().chain(of_others).collect()
}

/// Returns the names of what implements `Error` in the sources below `folder`.
fn defined_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("a folder can be listed").path();
        match path.extension() {
            _ if path.is_dir() => defined_below(&path, found),
            Some(extension) if extension == "rs" => {
                found.extend(defined_in(&fs::read_to_string(&path).expect("it is text")));
            }
            _ => {}
        }
    }
}

/// Returns the names of what implements `Error` in `source`, in either way, and is public there.
fn defined_in(source: &str) -> Vec<String> {
    let name = |text: &str| text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
    let (mut names, mut derived) = (Vec::new(), false);
    for line in source.lines() {
        if line.starts_with("#[derive(") {
            derived = line.contains("Error");
        } else if let Some((_, implementor)) =
            line.split_once("Error for ").filter(|_| line.starts_with("impl"))
        {
            names.push(name(implementor));
        } else if let Some(rest) = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "))
        {
            names.extend(std::mem::take(&mut derived).then(|| name(rest)));
        } else if line.starts_with('}') {
            derived = false;
        }
    }
    names.retain(|name| {
        ["struct", "enum"].iter().any(|kind| source.contains(&format!("\npub {kind} {name}")))
    });
    names
}

#[test]
fn no_error_is_missing_above() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut defined = BTreeSet::new();
    for folder in ["src", "core/src", "backend-native/src", "backend-green/src", "node/src"] {
        defined_below(&root.join(folder), &mut defined);
    }
    assert!(defined.len() > 40, "{defined:?}");
    // It is asserted where its feature is on, in `integrations/tests/node_tls.rs`.
    assert!(defined.remove("TlsError"));
    assert_eq!(defined.difference(&all()).collect::<Vec<_>>(), Vec::<&String>::new());
}
