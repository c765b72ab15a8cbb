//! The choice of a backend, which may be made when the program starts.

use std::fmt;
use std::str::FromStr;

/// The ways in which the tasks of a [`Runtime`](super::Runtime) run.
///
/// Its text form is the name in lower case, so it can be an argument of a program, also one that clap parses:
/// a field `backend: Backend` needs nothing more. With the feature `serde` it can be an entry of a
/// configuration file. The default is `Green`, or
/// `Native` where the feature `green` is off.
///
/// # Examples
/// ```
/// use twoply::Backend;
///
/// # #[cfg(feature = "green")] {
/// assert_eq!("green".parse(), Ok(Backend::Green));
/// assert_eq!(Backend::Green.to_string(), "green");
/// # }
/// assert!("grin".parse::<Backend>().unwrap_err().to_string().contains("grin"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Many tasks on a few workers; a stack that blocks costs a thread while it does.
    #[cfg(feature = "green")]
    Green,
    /// Many tasks on a few workers; a stack that blocks is a fiber. It asks for a promise:
    /// [`Builder::fibers`](super::Builder::fibers).
    #[cfg(feature = "green")]
    Fibers,
    /// An OS thread for each task.
    #[cfg(feature = "native")]
    Native,
}

/// The names of all backends, and the feature that each needs.
const NAMES: [(&str, &str); 3] = [("green", "green"), ("fibers", "green"), ("native", "native")];

impl Backend {
    /// The backends that were compiled in.
    ///
    /// # Examples
    /// ```
    /// use twoply::Backend;
    ///
    /// for backend in Backend::ALL {
    ///     assert_eq!(backend.name().parse(), Ok(*backend));
    /// }
    /// ```
    pub const ALL: &[Backend] = &[
        #[cfg(feature = "green")]
        Backend::Green,
        #[cfg(feature = "green")]
        Backend::Fibers,
        #[cfg(feature = "native")]
        Backend::Native,
    ];

    /// Returns the name, which is also the text form.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "green")]
            Backend::Green => "green",
            #[cfg(feature = "green")]
            Backend::Fibers => "fibers",
            #[cfg(feature = "native")]
            Backend::Native => "native",
        }
    }
}

impl Default for Backend {
    fn default() -> Backend {
        Backend::ALL[0]
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Backend {
    type Err = ParseBackendError;

    fn from_str(name: &str) -> Result<Backend, ParseBackendError> {
        let found = Backend::ALL.iter().find(|backend| backend.name().eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| ParseBackendError { name: name.to_owned() })
    }
}

/// The error of reading a [`Backend`] from text: there is none of this name, or it was not compiled in.
///
/// # Examples
/// ```
/// use twoply::Backend;
///
/// let error = "turquoise".parse::<Backend>().unwrap_err();
/// assert!(error.to_string().starts_with("there is no backend `turquoise`, only "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseBackendError {
    /// The name that was asked for.
    name: String,
}

impl fmt::Display for ParseBackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        if let Some((_, feature)) = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return write!(f, "the backend `{name}` needs the feature `{feature}` of twoply, which is off");
        }
        write!(f, "there is no backend `{name}`, only ")?;
        for (index, backend) in Backend::ALL.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}`{backend}`")?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseBackendError {}

#[cfg(feature = "serde")]
impl serde::Serialize for Backend {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Backend {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Backend, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Backend;

    #[test]
    fn a_backend_that_is_left_out_names_its_feature() {
        for (name, feature) in super::NAMES {
            match name.parse::<Backend>() {
                Ok(backend) => assert_eq!(backend.name(), name),
                Err(error) => assert!(error.to_string().contains(&format!("feature `{feature}`")), "{error}"),
            }
        }
    }
}
