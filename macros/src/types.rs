//! The types of parameters and results: what no message can hold, and what `Self` means outside of the impl.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{Lifetime, QSelf, Token, Type, TypePath};

/// The complaints of types that no message can hold.
pub(crate) struct Unfit {
    /// The part that a borrow would have, for the complaint.
    what: &'static str,
    pub(crate) complaints: Vec<syn::Error>,
}

impl Unfit {
    /// Looks through `ty`, of a parameter or a result as `what` says.
    pub(crate) fn look(what: &'static str, ty: &Type) -> Vec<syn::Error> {
        let mut unfit = Unfit { what, complaints: Vec::new() };
        unfit.visit_type(ty);
        unfit.complaints
    }

    fn borrow(&mut self, span: Span) {
        let what = self.what;
        let complaint = format!("{what} of a message is sent to another task, so it cannot borrow");
        self.complaints.push(syn::Error::new(span, complaint));
    }
}

impl<'ast> Visit<'ast> for Unfit {
    fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
        match &reference.lifetime {
            Some(lifetime) if lifetime.ident == "static" => visit::visit_type(self, &reference.elem),
            _ => self.borrow(reference.span()),
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.borrow(lifetime.span());
        }
    }

    fn visit_type_impl_trait(&mut self, implied: &'ast syn::TypeImplTrait) {
        let what = self.what;
        let complaint =
            format!("{what} of a message is a field or a resolver, so it needs a type with a name");
        self.complaints.push(syn::Error::new(implied.span(), complaint));
    }

    fn visit_type_never(&mut self, never: &'ast syn::TypeNever) {
        let complaint = "what does not return leaves no answer: stop the actor with `Context::stop_with`";
        self.complaints.push(syn::Error::new(never.span(), complaint));
    }

    // The caller of a function lends it what it borrows, later.
    fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}

    fn visit_parenthesized_generic_arguments(&mut self, _: &'ast syn::ParenthesizedGenericArguments) {}

    fn visit_trait_bound(&mut self, bound: &'ast syn::TraitBound) {
        if bound.lifetimes.is_none() {
            visit::visit_trait_bound(self, bound);
        }
    }
}

/// Puts the type of the impl in the place of `Self`.
pub(crate) struct NameSelf<'a>(pub(crate) &'a Type);

impl VisitMut for NameSelf<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        match ty {
            Type::Path(TypePath { qself: None, path, .. }) if path.is_ident("Self") => *ty = self.0.clone(),
            _ => visit_mut::visit_type_mut(self, ty),
        }
    }

    fn visit_type_path_mut(&mut self, path: &mut TypePath) {
        let segments = &path.path.segments;
        if path.qself.is_none() && segments.len() > 1 && segments[0].ident == "Self" {
            // `Self::Item` becomes `<Stack<T>>::Item`.
            let span = segments[0].span();
            path.qself = Some(QSelf {
                lt_token: Token![<](span),
                ty: Box::new(self.0.clone()),
                position: 0,
                as_token: None,
                gt_token: Token![>](span),
            });
            path.path.segments = std::mem::take(&mut path.path.segments).into_iter().skip(1).collect();
            path.path.leading_colon = Some(Token![::](span));
        }
        visit_mut::visit_type_path_mut(self, path);
    }
}
