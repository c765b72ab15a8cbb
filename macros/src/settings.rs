//! The settings of the attribute, which stand in its parentheses.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Ident, Path, Token, Type, Visibility};

/// The settings of the attribute.
#[derive(Default)]
pub(crate) struct Settings {
    /// The type of the actor's errors.
    pub(crate) error: Option<Type>,
    /// The visibility of what is written.
    pub(crate) vis: Option<Visibility>,
    /// The path of the library.
    pub(crate) library: Option<Path>,
    /// True if each message knows the span of its sender, and is handled in one that follows from it.
    pub(crate) traced: bool,
}

impl Settings {
    pub(crate) fn parse(tokens: TokenStream) -> syn::Result<Settings> {
        Settings::read.parse2(tokens)
    }

    fn read(input: ParseStream<'_>) -> syn::Result<Settings> {
        let mut settings = Settings::default();
        while !input.is_empty() {
            let key = Ident::parse_any(input)?;
            let set = match key.to_string().as_str() {
                "error" => set(&mut settings.error, input)?,
                "vis" => set(&mut settings.vis, input)?,
                "crate" => set(&mut settings.library, input)?,
                "traced" => !std::mem::replace(&mut settings.traced, true),
                _ => {
                    return Err(syn::Error::new(
                        key.span(),
                        "a setting is `error`, `vis`, `traced` or `crate`",
                    ));
                }
            };
            if !set {
                return Err(syn::Error::new(key.span(), format!("`{key}` is set twice")));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(settings)
    }
}

/// Reads the value of a setting. Returns false if it had one.
fn set<T: Parse>(setting: &mut Option<T>, input: ParseStream<'_>) -> syn::Result<bool> {
    input.parse::<Token![=]>()?;
    Ok(setting.replace(input.parse()?).is_none())
}
