//! Reading an impl: which of its methods are messages, and which cannot be any.

use proc_macro2::{Span, TokenStream};
use quote::format_ident;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{
    Attribute, FnArg, Generics, Ident, ImplItem, ImplItemFn, ItemImpl, Pat, PatType, ReceiverKind,
    ReturnType, Type, Visibility,
};

use crate::types::{NameSelf, Unfit};

/// The names of the hooks of the trait. A method of such a name is one.
const HOOKS: [&str; 7] = ["started", "trapped", "down", "timed_out", "idle", "show_state", "stopped"];

/// An impl that becomes an actor.
pub(crate) struct ActorImpl {
    /// The impl, without its hooks and without the attributes of this macro.
    pub(crate) item: ItemImpl,
    /// The last part of the type's path, of which names are made.
    pub(crate) name: Ident,
    /// The generics of the impl, where `Self` is written out.
    pub(crate) generics: Generics,
    pub(crate) hooks: Vec<ImplItemFn>,
    pub(crate) messages: Vec<Message>,
}

/// A method that is a message.
pub(crate) struct Message {
    /// The name of the method.
    pub(crate) method: Ident,
    /// The name of the variant.
    pub(crate) variant: Ident,
    pub(crate) vis: Visibility,
    /// The docs, or the complaints of a method that should not be used.
    pub(crate) docs: Vec<Attribute>,
    /// The attributes that say whether the method is there.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) is_async: bool,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) kind: Kind,
}

/// A parameter of a method, besides `self`.
pub(crate) enum Parameter {
    /// The context of the actor.
    Context,
    /// A field of the message, by its name and its type.
    Field(Ident, Box<Type>),
}

/// The ways to send a message.
pub(crate) enum Kind {
    /// Nobody waits for it.
    Tell,
    /// Nobody waits for it, and an error ends the actor. The result has its place at this span.
    TryTell(Span),
    /// It is answered with a value of this type.
    Ask(Box<Type>),
}

/// Reads the tokens behind the attribute.
pub(crate) fn parse(tokens: TokenStream) -> syn::Result<ItemImpl> {
    let place = tokens.clone();
    match syn::parse2::<syn::Item>(tokens)? {
        syn::Item::Impl(item) => Ok(item),
        _ => Err(syn::Error::new_spanned(
            place,
            "`#[actor]` stands on an impl with methods: `impl Counter { .. }`",
        )),
    }
}

/// Makes a list of messages of the methods. Returns the complaints of those which cannot be any.
pub(crate) fn read(mut item: ItemImpl) -> syn::Result<(ActorImpl, Vec<syn::Error>)> {
    if let Some((path, _)) = &item.trait_ {
        let complaint =
            "`#[actor]` stands on an impl of methods, not of a trait: it implements `Actor` itself";
        return Err(syn::Error::new(path.span(), complaint));
    }
    if let Some(lifetime) = item.generics.lifetimes().next() {
        let complaint = "an actor moves to a task of its own, so it cannot borrow";
        return Err(syn::Error::new(lifetime.span(), complaint));
    }
    let name = match &*item.self_ty {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last().map(|part| part.ident.unraw()),
        _ => None,
    };
    let Some(name) = name else {
        return Err(syn::Error::new(item.self_ty.span(), "an actor is a type with a name"));
    };
    let mut complaints = Vec::new();
    let (mut hooks, mut messages) = (Vec::new(), Vec::new());
    let mut kept = Vec::new();
    for part in std::mem::take(&mut item.items) {
        match part {
            ImplItem::Fn(mut method) => {
                let mut wish = Wish::take(&mut method, &mut complaints);
                if HOOKS.iter().any(|hook| method.sig.ident == hook) {
                    wish.refuse("a hook is no message", &mut complaints);
                    check_hook(&method, &mut complaints);
                    hooks.push(method);
                    continue;
                }
                if method.sig.receiver().is_none() {
                    wish.refuse("a function without `self` is no message", &mut complaints);
                } else {
                    match message(&method, &wish, &item.self_ty) {
                        Ok(message) => messages.push(message),
                        Err(unfit) => complaints.extend(unfit),
                    }
                }
                kept.push(ImplItem::Fn(method));
            }
            other => kept.push(other),
        }
    }
    item.items = kept;
    let mut generics = item.generics.clone();
    NameSelf(&item.self_ty).visit_generics_mut(&mut generics);
    Ok((ActorImpl { item, name, generics, hooks, messages }, complaints))
}

/// Complains of a hook that cannot stand in the impl of a trait.
fn check_hook(method: &ImplItemFn, complaints: &mut Vec<syn::Error>) {
    if !matches!(method.vis, Visibility::Inherited) {
        let complaint = "a hook is a method of the trait `Actor`, and as visible as that";
        complaints.push(syn::Error::new(method.vis.span(), complaint));
    }
}

/// The attributes of this macro on a method.
struct Wish {
    ask: Option<Span>,
    tell: Option<Span>,
}

impl Wish {
    /// Takes the attributes out.
    fn take(method: &mut ImplItemFn, complaints: &mut Vec<syn::Error>) -> Wish {
        let mut wish = Wish { ask: None, tell: None };
        method.attrs.retain(|attribute| {
            let place = match attribute.path() {
                path if path.is_ident("ask") => &mut wish.ask,
                path if path.is_ident("tell") => &mut wish.tell,
                _ => return true,
            };
            if let Err(error) = attribute.meta.require_path_only() {
                complaints.push(error);
            }
            *place = Some(attribute.span());
            false
        });
        if let (Some(_), Some(tell)) = (wish.ask, wish.tell) {
            complaints.push(syn::Error::new(tell, "a message is asked or told, not both"));
            wish.tell = None;
        }
        wish
    }

    /// Complains of an attribute where there can be none.
    fn refuse(&mut self, why: &str, complaints: &mut Vec<syn::Error>) {
        let spans = [self.ask.take(), self.tell.take()].into_iter().flatten();
        complaints.extend(spans.map(|span| syn::Error::new(span, why)));
    }
}

/// Makes a message of a method with `self`, or returns the reasons why that cannot be.
fn message(method: &ImplItemFn, wish: &Wish, actor: &Type) -> Result<Message, Vec<syn::Error>> {
    let signature = &method.sig;
    let mut complaints = check_signature(method);
    let mut parameters = Vec::new();
    for input in &signature.inputs {
        let FnArg::Typed(input) = input else { continue };
        if is_context(&input.ty) {
            if parameters.iter().any(|parameter| matches!(parameter, Parameter::Context)) {
                complaints.push(syn::Error::new(input.span(), "there is one context"));
            }
            parameters.push(Parameter::Context);
            continue;
        }
        complaints.extend(Unfit::look("a parameter", &input.ty));
        if let Some(attribute) = input.attrs.first() {
            let complaint = "an attribute of a parameter does not reach the message";
            complaints.push(syn::Error::new(attribute.span(), complaint));
        }
        let mut ty = input.ty.clone();
        NameSelf(actor).visit_type_mut(&mut ty);
        parameters.push(Parameter::Field(field_name(input, parameters.len()), ty));
    }
    let kind = kind(&signature.output, wish, actor, &mut complaints);
    if !complaints.is_empty() {
        return Err(complaints);
    }
    let mut docs = attributes(method, &["doc", "deprecated"]);
    if !docs.iter().any(|attribute| attribute.path().is_ident("doc")) {
        let text = format!("Has the actor call `{}`.", signature.ident);
        docs.push(syn::parse_quote!(#[doc = #text]));
    }
    Ok(Message {
        method: signature.ident.clone(),
        variant: variant_name(&signature.ident),
        vis: method.vis.clone(),
        docs,
        cfgs: attributes(method, &["cfg"]),
        is_async: signature.asyncness.is_some(),
        parameters,
        kind,
    })
}

/// Complains of what is no type in a signature, and no message can have.
fn check_signature(method: &ImplItemFn) -> Vec<syn::Error> {
    let signature = &method.sig;
    let mut complaints = Vec::new();
    let mut complain = |span: Span, why: &str| complaints.push(syn::Error::new(span, why));
    if let Some(receiver) = signature.receiver() {
        match &receiver.kind {
            ReceiverKind::Reference(..) => {}
            ReceiverKind::Value => {
                complain(receiver.span(), "the actor outlives its messages: take `&self` or `&mut self`");
            }
            _ => complain(receiver.span(), "a message takes `&self` or `&mut self`"),
        }
    }
    if let Some(constness) = &signature.constness {
        complain(constness.span(), "a message is sent, so it cannot be `const`");
    }
    if let syn::Safety::Unsafe(unsafety) = &signature.safety {
        complain(unsafety.span(), "nobody who sends a message can keep the promise of an `unsafe` method");
    }
    if let Some(abi) = &signature.abi {
        complain(abi.span(), "a message is called by the actor alone, so it needs no ABI");
    }
    if let Some(parameter) = signature.generics.params.first() {
        complain(parameter.span(), "a message has no generics of its own: the impl may have some");
    } else if let Some(clause) = &signature.generics.where_clause {
        complain(clause.span(), "the bounds of a message are those of the impl");
    }
    complaints
}

/// Returns true if it is `&mut Context<..>`, by whatever path.
fn is_context(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else { return false };
    let Type::Path(path) = &*reference.elem else { return false };
    path.path.segments.last().is_some_and(|part| part.ident == "Context")
}

/// Returns the name of a parameter, or one for a pattern that is more than a name.
fn field_name(input: &PatType, index: usize) -> Ident {
    match &*input.pat {
        Pat::Ident(name) if name.subpat.is_none() => name.ident.clone(),
        pattern => format_ident!("argument_{index}", span = pattern.span()),
    }
}

/// Decides how a message is sent.
fn kind(output: &ReturnType, wish: &Wish, actor: &Type, complaints: &mut Vec<syn::Error>) -> Kind {
    let nothing = || Box::new(syn::parse_quote!(()));
    match output {
        ReturnType::Type(_, ty) if !is_nothing(ty) => {
            complaints.extend(Unfit::look("the result", ty));
            let mut ty = ty.clone();
            match wish.tell {
                Some(_) => Kind::TryTell(ty.span()),
                None => {
                    NameSelf(actor).visit_type_mut(&mut ty);
                    Kind::Ask(ty)
                }
            }
        }
        _ if wish.ask.is_some() => Kind::Ask(nothing()),
        _ => Kind::Tell,
    }
}

fn is_nothing(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// Returns the attributes of these names.
fn attributes(method: &ImplItemFn, names: &[&str]) -> Vec<Attribute> {
    let wanted = |attribute: &&Attribute| names.iter().any(|name| attribute.path().is_ident(name));
    method.attrs.iter().filter(wanted).cloned().collect()
}

/// Returns the name of the variant: `open_door` is `OpenDoor`. A name of which none can be made stays.
fn variant_name(method: &Ident) -> Ident {
    let name: String = method
        .unraw()
        .to_string()
        .split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<Vec<_>>()
        })
        .collect();
    match syn::parse_str::<Ident>(&name) {
        Ok(mut variant) => {
            variant.set_span(method.span());
            variant
        }
        Err(_) => method.clone(),
    }
}
