//! Writing what belongs to an actor: its messages, its implementation of the trait, its reference.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Generics, Type, Visibility};

use crate::read::{ActorImpl, Kind, Message, Parameter};
use crate::settings::Settings;

/// The names that all parts use.
struct Names<'a> {
    /// The path of the library.
    library: TokenStream,
    vis: Visibility,
    actor: &'a Type,
    message: Ident,
    reference: Ident,
    /// The generics of all of them.
    generics: &'a Generics,
    /// True if messages are sent with the span of their sender.
    traced: bool,
}

impl Names<'_> {
    /// Returns the type of what the process receives.
    fn received(&self) -> TokenStream {
        let Names { library, message, generics, .. } = self;
        let (_, type_generics, _) = generics.split_for_impl();
        let message = quote!(#message #type_generics);
        if self.traced { quote!(#library::tracing::Traced<#message>) } else { message }
    }

    /// Returns what is sent for the message that `made` makes.
    fn sent(&self, made: TokenStream) -> TokenStream {
        let library = &self.library;
        if self.traced { quote!(#library::tracing::Traced::new(#made)) } else { made }
    }
}

/// Writes the impl and all that belongs to it.
pub(crate) fn write(actor: &ActorImpl, settings: &Settings) -> TokenStream {
    let names = Names {
        library: settings.library.as_ref().map_or_else(|| quote!(::twoply), |path| quote!(#path)),
        vis: settings.vis.clone().unwrap_or_else(|| widest(&actor.messages)),
        actor: &actor.item.self_ty,
        message: format_ident!("{}Message", actor.name),
        reference: format_ident!("{}Ref", actor.name),
        generics: &actor.generics,
        traced: settings.traced,
    };
    let item = &actor.item;
    let parts = [
        message_enum(&names, &actor.messages),
        actor_impl(&names, actor, settings),
        reference(&names, &actor.messages),
    ];
    quote!(#item #(#parts)*)
}

/// Returns the visibility of the method that is the most visible.
fn widest(messages: &[Message]) -> Visibility {
    let rank = |message: &&Message| match &message.vis {
        Visibility::Public(_) => 3,
        Visibility::Restricted(vis) if vis.path.is_ident("crate") => 2,
        Visibility::Restricted(vis) if !vis.path.is_ident("self") => 1,
        _ => 0,
    };
    messages.iter().max_by_key(rank).map_or(Visibility::Inherited, |message| message.vis.clone())
}

/// Writes the enum of the messages.
fn message_enum(names: &Names<'_>, messages: &[Message]) -> TokenStream {
    let Names { library, vis, message, generics, .. } = names;
    let (impl_generics, type_generics, bounds) = generics.split_for_impl();
    let variants = messages.iter().map(|message| {
        let Message { variant, docs, cfgs, .. } = message;
        let docs = docs.iter().filter(|attribute| attribute.path().is_ident("doc"));
        let fields = message.fields().map(|(_, ty)| quote!(#ty));
        let reply = match &message.kind {
            Kind::Ask(ty) => Some(quote!(#library::promise::Resolver<#ty>)),
            _ => None,
        };
        let fields: Vec<_> = fields.chain(reply).collect();
        let fields = if fields.is_empty() { quote!() } else { quote!((#(#fields),*)) };
        quote!(#(#cfgs)* #(#docs)* #variant #fields)
    });
    // A type parameter has to be used, and the messages need not use each.
    let parameters: Vec<_> = generics.type_params().map(|parameter| &parameter.ident).collect();
    let unused = (!parameters.is_empty()).then(|| {
        quote! {
            #[doc(hidden)]
            __Unused(
                ::core::convert::Infallible,
                ::core::marker::PhantomData<fn() -> (#(::core::marker::PhantomData<#parameters>,)*)>,
            ),
        }
    });
    let never = unused.is_some().then(|| quote!(Self::__Unused(never, _) => match never {},));
    let shown = messages.iter().map(|message| {
        let (Message { variant, cfgs, .. }, text) = (message, message.variant.to_string());
        quote!(#(#cfgs)* Self::#variant { .. } => #text,)
    });
    let docs = format!("The messages of `{}`.", names.reference);
    quote! {
        #[doc = #docs]
        #[allow(dead_code)]
        #vis enum #message #impl_generics #bounds {
            #(#variants,)*
            #unused
        }

        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #message #type_generics #bounds {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(match *self {
                    #(#shown)*
                    #never
                })
            }
        }
    }
}

/// Writes the implementation of the trait.
fn actor_impl(names: &Names<'_>, actor: &ActorImpl, settings: &Settings) -> TokenStream {
    let Names { library, message, generics, actor: own, .. } = names;
    let (impl_generics, _, bounds) = generics.split_for_impl();
    let error = settings.error.as_ref().map_or_else(|| quote!(::core::convert::Infallible), |ty| quote!(#ty));
    let hooks = &actor.hooks;
    let context = Ident::new("_cx", Span::mixed_site());
    let arms = actor.messages.iter().map(|each| arm(each, message, own, &context));
    let never =
        generics.type_params().next().map(|_| quote!(#message::__Unused(never, _) => match never {},));
    let received = names.received();
    let body = quote! {
        match message {
            #(#arms)*
            #never
        }
        #[allow(unreachable_code)]
        ::core::result::Result::<(), <Self as #library::actor::Actor>::Error>::Ok(())
    };
    let body = if names.traced {
        quote!(#library::tracing::Traced::handle(message, async |message| { #body }).await)
    } else {
        body
    };
    quote! {
        impl #impl_generics #library::actor::Actor for #own #bounds {
            type Message = #received;
            type Error = #error;

            #(#hooks)*

            async fn handle(
                &mut self,
                message: Self::Message,
                #context: &mut #library::actor::Context<Self>,
            ) -> ::core::result::Result<(), Self::Error> {
                #body
            }
        }
    }
}

/// Writes the arm of a message: it calls the method, and does with its result what is to be done.
fn arm(message: &Message, messages: &Ident, own: &Type, context: &Ident) -> TokenStream {
    let Message { method, variant, cfgs, .. } = message;
    let reply = Ident::new("reply", Span::mixed_site());
    // By the place, because two parameters may have one name.
    let fields: Vec<_> = (0..message.fields().count())
        .map(|index| Ident::new(&format!("field_{index}"), Span::mixed_site()))
        .collect();
    let mut values = fields.iter();
    let arguments = message.parameters.iter().map(|parameter| match parameter {
        Parameter::Context => quote!(#context),
        Parameter::Field(..) => {
            let value = values.next();
            quote!(#value)
        }
    });
    let finish = message.is_async.then(|| quote!(.await));
    let call = quote!(<#own>::#method(self, #(#arguments),*) #finish);
    let (bound, does) = match &message.kind {
        Kind::Tell => (None, quote!({ let () = #call; })),
        Kind::TryTell(span) => (None, quote_spanned!(*span => { let () = #call?; })),
        // Whoever has asked may have gone.
        Kind::Ask(_) => (Some(&reply), quote!({ let _ = #reply.resolve(#call); })),
    };
    let bound: Vec<_> = fields.iter().chain(bound).collect();
    let pattern = if bound.is_empty() { quote!() } else { quote!((#(#bound),*)) };
    quote!(#(#cfgs)* #messages::#variant #pattern => #does)
}

/// Writes the reference and its methods.
fn reference(names: &Names<'_>, messages: &[Message]) -> TokenStream {
    let Names { library, vis, message, reference, generics, .. } = names;
    let (impl_generics, type_generics, bounds) = generics.split_for_impl();
    let message_type = names.received();
    let plain = quote!(#library::actor::ProcessRef<#message_type>);
    let methods = messages.iter().map(|each| {
        let Message { method, vis, docs, cfgs, variant, .. } = each;
        let parameters = each.fields().map(|(name, ty)| quote!(#name: #ty));
        let values: Vec<_> = each.fields().map(|(name, _)| name).collect();
        let reply = Ident::new("reply", Span::mixed_site());
        let (output, body) = match &each.kind {
            Kind::Ask(ty) => {
                let message = names.sent(quote!(#message::#variant(#(#values,)* #reply)));
                let body = quote!(#library::actor::ProcessRef::ask(&self.0, |#reply| #message));
                (quote!(#library::actor::Ask<'_, #message_type, #ty>), body)
            }
            _ => {
                let values = if values.is_empty() { quote!() } else { quote!((#(#values),*)) };
                let message = names.sent(quote!(#message::#variant #values));
                let body = quote!(#library::actor::ProcessRef::send(&self.0, #message));
                (quote!(#library::channel::Sending<'_, #message_type, #plain>), body)
            }
        };
        quote! {
            #(#cfgs)*
            #(#docs)*
            #vis fn #method(&self, #(#parameters),*) -> #output {
                #body
            }
        }
    });
    let docs = format!("A reference to an actor that takes a `{message}`. Its methods send one.");
    let name = reference.to_string();
    quote! {
        #[doc = #docs]
        #vis struct #reference #impl_generics (#plain) #bounds;

        #[allow(dead_code)]
        impl #impl_generics #reference #type_generics #bounds {
            #(#methods)*
        }

        #[automatically_derived]
        impl #impl_generics ::core::clone::Clone for #reference #type_generics #bounds {
            fn clone(&self) -> Self {
                Self(::core::clone::Clone::clone(&self.0))
            }
        }

        #[automatically_derived]
        impl #impl_generics ::core::cmp::PartialEq for #reference #type_generics #bounds {
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }

        #[automatically_derived]
        impl #impl_generics ::core::cmp::Eq for #reference #type_generics #bounds {}

        #[automatically_derived]
        impl #impl_generics ::core::fmt::Debug for #reference #type_generics #bounds {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_tuple(#name).field(&self.0).finish()
            }
        }

        impl #impl_generics ::core::convert::From<#plain> for #reference #type_generics #bounds {
            fn from(process: #plain) -> Self {
                Self(process)
            }
        }

        impl #impl_generics ::core::convert::From<#reference #type_generics> for #plain #bounds {
            fn from(reference: #reference #type_generics) -> Self {
                reference.0
            }
        }

        impl #impl_generics ::core::convert::AsRef<#plain> for #reference #type_generics #bounds {
            fn as_ref(&self) -> &#plain {
                &self.0
            }
        }
    }
}

impl Message {
    /// Returns the names and types of the fields, without the resolver.
    fn fields(&self) -> impl Iterator<Item = (&Ident, &Type)> {
        self.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Context => None,
            Parameter::Field(name, ty) => Some((name, &**ty)),
        })
    }
}
