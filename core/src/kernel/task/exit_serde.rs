//! Exit reasons as serde has them: a kind, and the text of what cannot leave the process.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::exit::ExitReason;

/// A reason, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Normal,
    Shutdown,
    ShutdownWith(String),
    Kill,
    Killed,
    NoProcess,
    NoConnection,
    Panicked(String),
    Failed(String),
    Other(String),
}

impl Serialize for ExitReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            ExitReason::Normal => Written::Normal,
            ExitReason::Shutdown => Written::Shutdown,
            ExitReason::ShutdownWith(data) => Written::ShutdownWith(data.to_string()),
            ExitReason::Kill => Written::Kill,
            ExitReason::Killed => Written::Killed,
            ExitReason::NoProcess => Written::NoProcess,
            ExitReason::NoConnection => Written::NoConnection,
            ExitReason::Panicked(text) => Written::Panicked(text.to_string()),
            ExitReason::Failed(failed) => Written::Failed(failed.to_string()),
            ExitReason::Other(text) => Written::Other(text.to_string()),
            ExitReason::Foreign(foreign) => Written::Other(foreign.to_string()),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ExitReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ExitReason, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Normal => ExitReason::Normal,
            Written::Shutdown => ExitReason::Shutdown,
            Written::ShutdownWith(text) => ExitReason::shutdown_with(text),
            Written::Kill => ExitReason::Kill,
            Written::Killed => ExitReason::Killed,
            Written::NoProcess => ExitReason::NoProcess,
            Written::NoConnection => ExitReason::NoConnection,
            Written::Panicked(text) => ExitReason::Panicked(text.into()),
            Written::Failed(text) => ExitReason::failed(text),
            Written::Other(text) => ExitReason::other(text),
        })
    }
}
