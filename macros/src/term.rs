//! The derives `ToTerm` and `FromTerm`: structs and enums as Erlang terms.
//!
//! `shape` reads a type and its attributes; this writes the implementations, which call the functions of
//! `twoply::node::wire::derived` for all that is not a list of fields.

mod shape;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{DeriveInput, GenericParam, Ident, Index, Lifetime, Member, parse_quote};

use self::shape::{Body, Fields, Form, Input, Sent, Variant};

/// Writes the implementation of `ToTerm` for a type.
pub(crate) fn to_term(input: DeriveInput) -> syn::Result<TokenStream> {
    let input = Input::read(input)?;
    let wire = &input.wire;
    let body = match &input.body {
        Body::Struct(form, fields) => {
            let values: Vec<_> = fields.members.iter().map(|member| quote!(&self.#member)).collect();
            write_struct(wire, form, fields, &values)
        }
        Body::Enum(variants) if variants.is_empty() => quote!(match *self {}),
        Body::Enum(variants) => {
            let arms = variants.iter().map(|variant| write_variant(wire, variant));
            quote!(match self { #(#arms)* })
        }
    };
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#wire::ToTerm));
    }
    let (of_impl, of_type, bounds) = generics.split_for_impl();
    let ident = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl #of_impl #wire::ToTerm for #ident #of_type #bounds {
            fn to_term(
                &self,
                out: &mut #wire::Encoder<'_>,
            ) -> ::core::result::Result<(), #wire::EncodeError> {
                #body
            }
        }
    })
}

/// Writes the arm of a variant.
fn write_variant(wire: &TokenStream, variant: &Variant) -> TokenStream {
    let (ident, name) = (&variant.ident, &variant.name);
    let (bound, values) = bindings(&variant.fields);
    let whole = write_tagged(wire, name, &values);
    let whole = match variant.sent {
        Sent::Plain => whole,
        Sent::Cast => quote! {
            out.tuple(2)?;
            out.name(#wire::derived::GEN_CAST)?;
            out.nested(|out| { #whole })
        },
        Sent::Call(resolver) => {
            let mut values = values;
            let asker = values.remove(resolver);
            let request = write_tagged(wire, name, &values);
            quote! {
                out.tuple(3)?;
                out.name(#wire::derived::GEN_CALL)?;
                out.value(#asker)?;
                out.nested(|out| { #request })
            }
        }
    };
    quote!(Self::#ident { #(#bound),* } => { #whole })
}

/// Returns patterns that bind the fields to names, and these names.
fn bindings(fields: &Fields) -> (Vec<TokenStream>, Vec<TokenStream>) {
    let names: Vec<Ident> = (0..fields.members.len()).map(|index| format_ident!("field_{index}")).collect();
    let bound = fields.members.iter().zip(&names).map(|(member, name)| quote!(#member: #name)).collect();
    (bound, names.iter().map(|name| quote!(#name)).collect())
}

/// Writes a name, or a tuple with it in front if there are values.
fn write_tagged(wire: &TokenStream, name: &str, values: &[TokenStream]) -> TokenStream {
    let len = values.len();
    quote! {
        #wire::derived::begin_variant(#name, #len, out)?;
        out.nested(|out| {
            #(out.value(#values)?;)*
            ::core::result::Result::Ok(())
        })
    }
}

fn write_struct(wire: &TokenStream, form: &Form, fields: &Fields, values: &[TokenStream]) -> TokenStream {
    let len = values.len();
    match form {
        Form::Inner => quote!(#(out.value(#values))*),
        Form::Tagged(name) => write_tagged(wire, name, values),
        Form::Tuple => quote! {
            out.tuple(#len)?;
            out.nested(|out| {
                #(out.value(#values)?;)*
                ::core::result::Result::Ok(())
            })
        },
        Form::Map(module) => {
            let names = &fields.names;
            let pairs = len + usize::from(module.is_some());
            let module = module.iter().map(|module| {
                quote! {
                    out.name("__struct__")?;
                    out.name(#module)?;
                }
            });
            quote! {
                out.map(#pairs)?;
                out.nested(|out| {
                    #(#module)*
                    #(out.name(#names)?; out.value(#values)?;)*
                    ::core::result::Result::Ok(())
                })
            }
        }
    }
}

/// Writes the implementation of `FromTerm` for a type.
pub(crate) fn from_term(input: DeriveInput) -> syn::Result<TokenStream> {
    let input = Input::read(input)?;
    let wire = &input.wire;
    let body = match &input.body {
        Body::Struct(form, fields) => read_struct(wire, form, fields),
        Body::Enum(variants) => read_enum(wire, &input.question, variants),
    };
    let (generics, lifetime) = reading(&input);
    let (of_impl, _, bounds) = generics.split_for_impl();
    let (_, of_type, _) = input.generics.split_for_impl();
    let ident = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl #of_impl #wire::FromTerm<#lifetime> for #ident #of_type #bounds {
            fn from_term(
                input: &mut #wire::Decoder<#lifetime>,
            ) -> ::core::result::Result<Self, #wire::DecodeError> {
                #body
            }
        }
    })
}

/// Reads a variant: first of those that stand in a cast or a question, if there are such.
fn read_enum(wire: &TokenStream, question: &TokenStream, variants: &[Variant]) -> TokenStream {
    let of = |sent: Sent| {
        let arms = variants.iter().filter(move |variant| variant.sent.is_as(sent)).map(|variant| {
            let (ident, name, len) = (&variant.ident, &variant.name, variant.len());
            let members = &variant.fields.members;
            let reads = reads(wire, &variant.fields).enumerate().map(|(index, read)| match variant.sent {
                Sent::Call(resolver) if resolver == index => quote!(#question::resolver(&asker, input)?),
                _ => read,
            });
            quote!((#name, #len) => Self::#ident { #(#members: #reads),* },)
        });
        let arms: TokenStream = arms.collect();
        if arms.is_empty() {
            let none = quote!(::core::result::Result::Ok(::core::option::Option::None));
            return quote!(#wire::derived::read_variant(input, |_, _, _| #none));
        }
        quote! {
            #wire::derived::read_variant(input, |name, fields, input| {
                let _ = &input;
                ::core::result::Result::Ok(::core::option::Option::Some(match (name, fields) {
                    #arms
                    _ => return ::core::result::Result::Ok(::core::option::Option::None),
                }))
            })
        }
    };
    let has = |sent: Sent| variants.iter().any(|variant| variant.sent.is_as(sent));
    let (plain, cast, call) = (of(Sent::Plain), of(Sent::Cast), of(Sent::Call(0)));
    let cast = has(Sent::Cast).then(|| {
        quote! {
            if #wire::derived::begin_cast(input)? {
                return input.nested(|input| #cast);
            }
        }
    });
    let call = has(Sent::Call(0)).then(|| {
        quote! {
            if let ::core::option::Option::Some(asker) = #question::begin_call(input)? {
                return input.nested(|input| #call);
            }
        }
    });
    quote!(#cast #call #plain)
}

/// Returns the generics of `impl FromTerm`, and the lifetime of the bytes: that of the type, if it has one.
fn reading(input: &Input) -> (syn::Generics, Lifetime) {
    let (mut generics, wire) = (input.generics.clone(), &input.wire);
    let own = generics.lifetimes().next().map(|parameter| parameter.lifetime.clone());
    let lifetime = own.unwrap_or_else(|| {
        let lifetime: Lifetime = parse_quote!('term);
        generics.params.insert(0, GenericParam::Lifetime(parse_quote!(#lifetime)));
        lifetime
    });
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#wire::FromTerm<#lifetime>));
    }
    (generics, lifetime)
}

/// Returns an expression for each field, that reads it.
fn reads<'f>(wire: &'f TokenStream, fields: &'f Fields) -> impl Iterator<Item = TokenStream> + 'f {
    fields.names.iter().map(move |name| quote!(#wire::derived::field(#name, input)?))
}

fn read_struct(wire: &TokenStream, form: &Form, fields: &Fields) -> TokenStream {
    let (members, len) = (&fields.members, fields.members.len());
    let reads = reads(wire, fields);
    match form {
        Form::Inner => quote! {
            ::core::result::Result::Ok(Self { #(#members: #wire::FromTerm::from_term(input)?),* })
        },
        Form::Tagged(name) => quote! {
            #wire::derived::read_variant(input, |name, fields, input| {
                let _ = &input;
                if (name, fields) != (#name, #len) {
                    return ::core::result::Result::Ok(::core::option::Option::None);
                }
                ::core::result::Result::Ok(::core::option::Option::Some(Self { #(#members: #reads),* }))
            })
        },
        Form::Tuple => quote! {
            input.tuple_of(#len)?;
            input.nested(|input| ::core::result::Result::Ok(Self { #(#members: #reads),* }))
        },
        Form::Map(module) => read_map(wire, module.as_deref(), fields),
    }
}

fn read_map(wire: &TokenStream, module: Option<&str>, fields: &Fields) -> TokenStream {
    let (members, names) = (&fields.members, &fields.names);
    let slots: Vec<Ident> = (0..members.len()).map(|index| format_ident!("field_{index}")).collect();
    let (begin, arm, end) = match module {
        None => (quote!(), quote!(), quote!()),
        Some(module) => (
            quote!(let mut module = ::core::option::Option::None;),
            quote! {
                "__struct__" => {
                    #wire::derived::tag(#module, input)?;
                    module = ::core::option::Option::Some(());
                    true
                }
            },
            quote!(#wire::derived::take::<()>(module, "__struct__")?;),
        ),
    };
    quote! {
        #begin
        #(let mut #slots = ::core::option::Option::None;)*
        #wire::derived::read_map(input, |key, input| {
            let _ = &input;
            ::core::result::Result::Ok(match key {
                #arm
                #(#names => {
                    #wire::derived::set(&mut #slots, #names, input)?;
                    true
                })*
                _ => false,
            })
        })?;
        #end
        ::core::result::Result::Ok(Self { #(#members: #wire::derived::take(#slots, #names)?),* })
    }
}

/// Returns how a field is named in the type: by its name, or by its place.
fn member(field: &syn::Field, index: usize) -> Member {
    match &field.ident {
        Some(ident) => Member::Named(ident.clone()),
        None => Member::Unnamed(Index::from(index)),
    }
}
