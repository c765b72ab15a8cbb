//! The shape of a type as a term: its form, its fields and their names.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Generics, Ident, LitStr, Member, Path, Result};

use super::member;

/// A type that is derived for.
pub(super) struct Input {
    pub(super) ident: Ident,
    pub(super) generics: Generics,
    /// The path of the module `wire`.
    pub(super) wire: TokenStream,
    /// The path of the module `question`, which stands beside it.
    pub(super) question: TokenStream,
    pub(super) body: Body,
}

pub(super) enum Body {
    Struct(Form, Fields),
    Enum(Vec<Variant>),
}

/// The forms of a struct.
pub(super) enum Form {
    /// The only field, alone.
    Inner,
    /// An atom, or a tuple with it in front.
    Tagged(String),
    Tuple,
    /// A map with atoms as keys; with the module of an Elixir struct.
    Map(Option<String>),
}

pub(super) struct Fields {
    pub(super) members: Vec<Member>,
    /// The keys in a map, and the steps of the paths in errors.
    pub(super) names: Vec<String>,
}

pub(super) struct Variant {
    pub(super) ident: Ident,
    pub(super) name: String,
    pub(super) fields: Fields,
    pub(super) sent: Sent,
}

/// The ways in which a variant is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Plain,
    /// It stands in `{'$gen_cast', _}`.
    Cast,
    /// It stands in `{'$gen_call', From, _}`. The field of this index is the resolver, which is no part of
    /// it.
    Call(usize),
}

impl Sent {
    /// Returns true if two variants come in the same way.
    pub(super) fn is_as(self, other: Sent) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// All attributes that there are, wherever they are allowed.
#[derive(Default)]
struct Attributes {
    library: Option<Path>,
    tuple: bool,
    record: Option<LitStr>,
    elixir: Option<LitStr>,
    rename: Option<LitStr>,
    cast: bool,
    call: bool,
}

impl Attributes {
    /// Reads the attributes, of which those in `allowed` may stand here.
    fn read(attributes: &[Attribute], allowed: &[&str]) -> Result<Attributes> {
        let mut read = Attributes::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("term")) {
            attribute.parse_nested_meta(|meta| {
                let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
                if !allowed.contains(&name.as_str()) {
                    return Err(meta.error(format!("here may stand: {}", allowed.join(", "))));
                }
                read.set(&name, &meta)
            })?;
        }
        Ok(read)
    }

    fn set(&mut self, name: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match name {
            "crate" => self.library = Some(meta.value()?.parse()?),
            "record" => self.record = Some(atom(meta.value()?.parse()?)?),
            "elixir" => self.elixir = Some(atom(meta.value()?.parse()?)?),
            "rename" => self.rename = Some(atom(meta.value()?.parse()?)?),
            "tuple" => self.tuple = true,
            "call" => self.call = true,
            _ => self.cast = true,
        }
        Ok(())
    }
}

/// Checks that a text can be an atom.
fn atom(text: LitStr) -> Result<LitStr> {
    match text.value().chars().count() {
        0..=255 => Ok(text),
        _ => Err(Error::new(text.span(), "an atom has at most 255 characters")),
    }
}

impl Input {
    pub(super) fn read(input: DeriveInput) -> Result<Input> {
        let DeriveInput { attrs, ident, generics, data, .. } = input;
        let (attributes, body) = match data {
            Data::Struct(data) => {
                let attributes = Attributes::read(&attrs, &["crate", "tuple", "record", "elixir", "rename"])?;
                let fields = Fields::read(&data.fields)?;
                let form = form(&attributes, &ident, &data.fields)?;
                (attributes, Body::Struct(form, fields))
            }
            Data::Enum(data) => {
                let variants = data.variants.iter().map(Variant::read).collect::<Result<Vec<_>>>()?;
                unique(&variants)?;
                (Attributes::read(&attrs, &["crate"])?, Body::Enum(variants))
            }
            Data::Union(data) => return Err(Error::new(data.union_token.span, "a union is no term")),
        };
        if let Some(second) = generics.lifetimes().nth(1) {
            return Err(Error::new(second.span(), "a term borrows from one place"));
        }
        let library = match attributes.library {
            Some(path) => quote!(#path),
            None => {
                let facade = quote!(::twoply);
                quote!(#facade::node)
            }
        };
        let (wire, question) = (quote!(#library::wire), quote!(#library::question));
        Ok(Input { ident, generics, wire, question, body })
    }
}

/// Returns the form of a struct.
fn form(attributes: &Attributes, ident: &Ident, fields: &syn::Fields) -> Result<Form> {
    let named = matches!(fields, syn::Fields::Named(_));
    let Attributes { tuple, record, elixir, rename, .. } = attributes;
    if usize::from(*tuple) + usize::from(record.is_some()) + usize::from(elixir.is_some()) > 1 {
        return Err(Error::new(ident.span(), "a struct has one form: `tuple`, `record` or `elixir`"));
    }
    let tag = rename.as_ref().map_or_else(|| snake(ident), LitStr::value);
    Ok(match (record, elixir) {
        (Some(record), _) => Form::Tagged(record.value()),
        (_, Some(module)) if named => Form::Map(Some(format!("Elixir.{}", module.value()))),
        (_, Some(module)) => return Err(Error::new(module.span(), "only fields with names are a map")),
        _ if *tuple => Form::Tuple,
        _ if named => Form::Map(None),
        _ if fields.is_empty() => Form::Tagged(tag),
        _ if fields.len() == 1 => Form::Inner,
        _ => Form::Tuple,
    })
}

impl Fields {
    fn read(fields: &syn::Fields) -> Result<Fields> {
        let (mut members, mut names) = (Vec::new(), Vec::new());
        for (index, field) in fields.iter().enumerate() {
            let attributes = Attributes::read(&field.attrs, &["rename"])?;
            let own = field.ident.as_ref().map_or_else(|| index.to_string(), plain);
            let name = attributes.rename.map_or(own, |rename| rename.value());
            if names.contains(&name) {
                return Err(Error::new(field.span(), format!("two fields are `{name}`")));
            }
            members.push(member(field, index));
            names.push(name);
        }
        Ok(Fields { members, names })
    }
}

impl Variant {
    fn read(variant: &syn::Variant) -> Result<Variant> {
        let attributes = Attributes::read(&variant.attrs, &["rename", "cast", "call"])?;
        let name = attributes.rename.map_or_else(|| snake(&variant.ident), |rename| rename.value());
        let fields = Fields::read(&variant.fields)?;
        let sent = match (attributes.cast, attributes.call) {
            (false, false) => Sent::Plain,
            (true, false) => Sent::Cast,
            (false, true) => Sent::Call(resolver(variant)?),
            (true, true) => return Err(Error::new(variant.span(), "a message is a `cast` or a `call`")),
        };
        Ok(Variant { ident: variant.ident.clone(), name, fields, sent })
    }

    /// Returns how many elements its term has behind the name.
    pub(super) fn len(&self) -> usize {
        self.fields.members.len() - usize::from(matches!(self.sent, Sent::Call(_)))
    }
}

/// Returns the index of the only field that is a `Resolver`.
fn resolver(variant: &syn::Variant) -> Result<usize> {
    let is_resolver = |field: &syn::Field| match &field.ty {
        syn::Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Resolver"),
        _ => false,
    };
    let mut found = variant.fields.iter().enumerate().filter(|(_, field)| is_resolver(field));
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        _ => Err(Error::new(variant.span(), "a `call` has one field that is a `Resolver`")),
    }
}

/// Checks that no two variants are the same term.
fn unique(variants: &[Variant]) -> Result<()> {
    for (index, variant) in variants.iter().enumerate() {
        let same = |other: &&Variant| {
            other.sent.is_as(variant.sent) && (&other.name, other.len()) == (&variant.name, variant.len())
        };
        if variants[..index].iter().any(|other| same(&other)) {
            let text = format!("two variants are `{}` with as many fields", variant.name);
            return Err(Error::new(variant.ident.span(), text));
        }
    }
    Ok(())
}

/// Returns an identifier as text, without the mark of a raw one.
fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

/// Returns `SnakeCase` as `snake_case`.
fn snake(ident: &Ident) -> String {
    let mut snake = String::new();
    for c in plain(ident).chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
