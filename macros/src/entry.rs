//! The attributes `main` and `test`: a function that runs as a task of a runtime.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Ident, ItemFn, LitStr, Path, Token, parenthesized};

/// The names of the backends, and of the variants that stand for them.
const BACKENDS: [(&str, &str); 3] = [("native", "Native"), ("green", "Green"), ("fibers", "Fibers")];

/// The settings of the attribute.
#[derive(Default)]
struct Settings {
    /// The backends by name, one unless it is a test.
    backends: Vec<Ident>,
    /// True if a test is to run once for each backend, by name.
    by_name: bool,
    workers: Option<Expr>,
    /// The promise that fibers ask for.
    fibers: Option<Expr>,
    /// The path of the library.
    library: Option<Path>,
}

impl Settings {
    fn read(input: ParseStream<'_>) -> syn::Result<Settings> {
        let mut settings = Settings::default();
        let mut seen: Vec<Ident> = Vec::new();
        while !input.is_empty() {
            let key = Ident::parse_any(input)?;
            if seen.contains(&key) {
                return Err(syn::Error::new(key.span(), format!("`{key}` is set twice")));
            }
            match key.to_string().as_str() {
                "backends" => settings.read_backends(input, key.span())?,
                "backend" => {
                    let name: LitStr = value(input)?;
                    settings.backends = vec![known(name.parse_with(Ident::parse_any)?)?];
                }
                "workers" => settings.workers = Some(value(input)?),
                "fibers" => settings.fibers = Some(value(input)?),
                "crate" => settings.library = Some(value(input)?),
                _ => {
                    let known = "a setting is `backend`, `backends`, `workers`, `fibers` or `crate`";
                    return Err(syn::Error::new(key.span(), known));
                }
            }
            seen.push(key);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        if let Some(both) = seen.iter().rfind(|key| *key == "backend" || *key == "backends")
            && settings.by_name
            && seen.iter().any(|key| key == "backend")
        {
            return Err(syn::Error::new(both.span(), "`backend` and `backends` exclude each other"));
        }
        // `all` is all that can be had: fibers ask for a promise.
        let can_be_had = |name: &Ident| name != "fibers" || settings.fibers.is_some();
        if let Some(fibers) = settings.backends.iter().find(|name| !can_be_had(name)) {
            let message = "fibers ask for a promise: `fibers = unsafe { FiberPromise::new() }`";
            return Err(syn::Error::new(fibers.span(), message));
        }
        if settings.by_name && settings.backends.is_empty() {
            let all = BACKENDS.iter().map(|(name, _)| Ident::new(name, Span::call_site()));
            settings.backends = all.filter(can_be_had).collect();
        }
        Ok(settings)
    }

    /// Reads the names in parentheses behind the word at `place`; `all` leaves the list empty.
    fn read_backends(&mut self, input: ParseStream<'_>, place: Span) -> syn::Result<()> {
        let names;
        parenthesized!(names in input);
        let names = Punctuated::<Ident, Token![,]>::parse_terminated(&names)?;
        self.by_name = true;
        let is_second = |at: usize| names.iter().take(at).any(|name| *name == names[at]);
        if let Some(at) = (0..names.len()).find(|&at| is_second(at)) {
            return Err(syn::Error::new(names[at].span(), "a test runs once on each backend"));
        }
        self.backends = match names.first() {
            Some(all) if all == "all" && names.len() == 1 => Vec::new(),
            Some(_) => names.into_iter().map(known).collect::<syn::Result<_>>()?,
            None => return Err(syn::Error::new(place, "name backends, or `all`")),
        };
        Ok(())
    }

    fn library(&self) -> TokenStream {
        self.library.as_ref().map_or_else(|| quote!(::twoply), |path| quote!(#path))
    }

    /// Writes an expression that makes a runtime of the backend, or of the default one.
    fn runtime(&self, backend: Option<&Ident>) -> TokenStream {
        let library = self.library();
        let variant = backend.and_then(|backend| BACKENDS.iter().find(|(name, _)| backend == name));
        let backend = variant.map(|(_, variant)| {
            let variant = format_ident!("{variant}");
            quote!(.backend(#library::Backend::#variant))
        });
        let workers = self.workers.as_ref().map(|workers| quote!(.workers(#workers)));
        let fibers = self.fibers.as_ref().map(|promise| quote!(.fibers(#promise)));
        quote! {
            #library::Runtime::builder() #backend #workers #fibers .build().expect("the runtime could not be started")
        }
    }
}

/// Returns whether the attribute sets the level of a lint, which is a matter of the code that a test runs.
fn is_lint(attr: &Attribute) -> bool {
    ["allow", "deny", "expect", "forbid", "warn"].iter().any(|level| attr.path().is_ident(level))
}

/// Reads the value of a setting.
fn value<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// Returns the name of a backend.
fn known(name: Ident) -> syn::Result<Ident> {
    match BACKENDS.iter().any(|(known, _)| name == known) {
        true => Ok(name),
        false => Err(syn::Error::new(name.span(), "a backend is `native`, `green` or `fibers`")),
    }
}

/// Writes the `main` of a program, which runs `item` as a task and waits for it and for all others.
pub(crate) fn main(settings: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let settings = Settings::read.parse2(settings)?;
    if settings.by_name {
        let message = "a program has one backend: `backend = \"green\"`";
        return Err(syn::Error::new(Span::call_site(), message));
    }
    let (function, body) = read(item)?;
    let ItemFn { attrs, vis, sig, .. } = &function;
    let (name, output, library) = (&sig.ident, &sig.output, settings.library());
    let call = match sig.asyncness {
        Some(_) => quote!(#library::Wait::wait(#name())),
        None => quote!(#name()),
    };
    let has_own = !settings.backends.is_empty() || settings.workers.is_some();
    let run = match has_own {
        true => {
            let runtime = settings.runtime(settings.backends.first());
            quote!(#runtime.run(|| #call))
        }
        false => quote!(#library::run(|| #call)),
    };
    Ok(quote! {
        #(#attrs)*
        #vis fn #name() #output {
            #body
            match #run {
                ::core::result::Result::Ok(result) => result,
                ::core::result::Result::Err(failure) => ::core::panic!("{failure}"),
            }
        }
    })
}

/// Writes a test that runs `item` as a task on a runtime of its own, or one such test for each backend.
pub(crate) fn test(settings: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let settings = Settings::read.parse2(settings)?;
    let (function, body) = read(item)?;
    let ItemFn { attrs, sig, .. } = &function;
    let (name, output) = (&sig.ident, &sig.output);
    // A lint that is expected of the code is met there, and not in the tests that call it by name.
    let is_elsewhere = |attr: &Attribute| settings.by_name && attr.path().is_ident("expect");
    let attrs: Vec<&Attribute> = attrs.iter().filter(|attr| !is_elsewhere(attr)).collect();
    // `body` is the path of the function, which `inside` may declare.
    let test = |test: &Ident, backend: Option<&Ident>, body: TokenStream, inside: Option<&ItemFn>| {
        let runtime = settings.runtime(backend);
        // It hides nothing, even a function that has this name.
        let variable = Ident::new("runtime", Span::mixed_site());
        let library = settings.library();
        let spawn = match sig.asyncness {
            Some(_) => quote!(#variable.spawn(#body())),
            None => quote!(#variable.spawn_fn(#body)),
        };
        quote! {
            #[::core::prelude::v1::test]
            #(#attrs)*
            fn #test() #output {
                #inside
                let #variable = #runtime;
                match #library::Wait::wait(#spawn) {
                    ::core::result::Result::Ok(result) => result,
                    ::core::result::Result::Err(failure) => ::core::panic!("{failure}"),
                }
            }
        }
    };
    if !settings.by_name {
        return Ok(test(name, settings.backends.first(), quote!(#name), Some(&body)));
    }
    let tests =
        settings.backends.iter().map(|backend| test(backend, Some(backend), quote!(super::#name), None));
    let lints = function.attrs.iter().filter(|attr| is_lint(attr));
    let body = ItemFn { attrs: lints.cloned().collect(), ..function.clone() };
    Ok(quote! {
        #[cfg(test)]
        #body
        #[cfg(test)]
        mod #name {
            #[allow(unused_imports, reason = "the types of the function may be among them")]
            use super::*;
            #(#tests)*
        }
    })
}

/// Reads a function without parameters; returns it, and the same as it is declared inside of the one that
/// runs it. That one has the same name, so nothing else is hidden from the code of the function.
fn read(item: TokenStream) -> syn::Result<(ItemFn, ItemFn)> {
    let function: ItemFn = syn::parse2(item)?;
    if let Some(input) = function.sig.inputs.first() {
        return Err(syn::Error::new_spanned(input, "nobody could give it a parameter"));
    }
    if let Some(parameter) = function.sig.generics.params.first() {
        return Err(syn::Error::new_spanned(parameter, "nobody could say what this stands for"));
    }
    if let syn::Safety::Unsafe(promise) = &function.sig.safety {
        return Err(syn::Error::new_spanned(promise, "nobody could promise what it asks for"));
    }
    let mut body = function.clone();
    body.attrs.clear();
    body.vis = syn::Visibility::Inherited;
    Ok((function, body))
}
