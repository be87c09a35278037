//! An event: where it goes, and the filter of those who want some of its kind.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use super::{option, path};
use crate::error::Error;
use crate::model::{Event, FieldPath, Piece, SubjectField, TokenKind};
use crate::naming;

pub(super) fn emit(event: &Event) -> Result<TokenStream, Error> {
    let implementation = implementation(event)?;
    let filter = filter(event)?;
    Ok(quote!(#implementation #filter))
}

fn implementation(event: &Event) -> Result<TokenStream, Error> {
    let message = naming::ident(&event.rust.message);
    let (name, subject, description) = (&event.name, &event.subject, &event.description);
    let escape = event.escape;
    let pieces = event.pieces();
    let pieces = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => quote!(::subwire::__codegen::Piece::Text(#text)),
        Piece::Field(field) => {
            let name = &field.path.name;
            quote!(::subwire::__codegen::Piece::Field(#name))
        }
    });
    let stream = option(event.stream.as_ref().map(|stream| quote!(#stream)));
    let id_field = option(event.id.as_ref().map(|path| &path.name).map(|name| quote!(#name)));
    let id = match &event.id {
        Some(path) => value(path, &TokenKind::Text),
        None => option(None),
    };
    let fields = event.fields().map(field).collect::<Result<Vec<_>, _>>()?;
    let argument = if fields.is_empty() { quote!(_) } else { quote!(fields) };
    let deprecated = event.fields().map(|field| &field.path).chain(&event.id).any(|path| path.deprecated);
    let allow = deprecated.then(|| quote!(#[allow(deprecated)]));
    Ok(quote! {
        #allow
        impl ::subwire::__codegen::Event for #message {
            const INFO: &'static ::subwire::__codegen::EventInfo = &::subwire::__codegen::EventInfo {
                name: #name,
                subject: #subject,
                pieces: &[#(#pieces),*],
                stream: #stream,
                id: #id_field,
                escape: #escape,
                description: #description,
            };

            fn fields(&self, #argument: &mut ::subwire::__codegen::EventFields<'_>) {
                #(#fields)*
            }

            fn id(&self) -> ::core::option::Option<&str> {
                #id
            }
        }
    })
}

/// Tells one field of the subject.
fn field(field: &SubjectField) -> Result<TokenStream, Error> {
    let value = value(&field.path, &field.kind);
    Ok(match &field.kind {
        TokenKind::Text => quote!(fields.text(#value);),
        TokenKind::Number(_) => quote!(fields.number(#value);),
        TokenKind::Flag => quote!(fields.flag(#value);),
        TokenKind::Enumeration { rust, prefix } => {
            let rust = path(rust)?;
            let name = |number: TokenStream| {
                quote! {
                    <#rust as ::core::convert::TryFrom<i32>>::try_from(#number).ok().map(|value| value.as_str_name())
                }
            };
            if field.path.around.is_empty() && !field.path.optional {
                let own = own(&field.path);
                let name = name(quote!(self.#own));
                quote!(fields.enumeration(#name, #prefix);)
            } else {
                // Not set is not the same as a number without a name.
                let name = name(quote!(number));
                quote! {
                    match #value {
                        ::core::option::Option::Some(number) => fields.enumeration(#name, #prefix),
                        ::core::option::Option::None => fields.text(::core::option::Option::None),
                    }
                }
            }
        }
    })
}

/// The value of a field as an `Option`: `None` where it, or a message around it, is not set.
fn value(path: &FieldPath, kind: &TokenKind) -> TokenStream {
    let own = own(path);
    let text = matches!(kind, TokenKind::Text);
    let read = |of: TokenStream| match (text, path.optional) {
        (true, true) => quote!(#of.#own.as_deref()),
        (true, false) => quote!(#of.#own.as_str()),
        (false, _) => quote!(#of.#own),
    };
    let Some((first, inner)) = path.around.split_first() else {
        let value = read(quote!(self));
        return if path.optional { value } else { option(Some(value)) };
    };
    let first = naming::ident(first);
    let inner = inner.iter().map(|field| naming::ident(field));
    let value = read(quote!(around));
    let map = if path.optional { format_ident!("and_then") } else { format_ident!("map") };
    quote! {
        self.#first.as_ref() #(.and_then(|around| around.#inner.as_ref()))* .#map(|around| #value)
    }
}

fn own(path: &FieldPath) -> Ident {
    naming::ident(&path.field)
}

fn filter(event: &Event) -> Result<TokenStream, Error> {
    let (name, message) = (naming::ident(&event.rust.filter), naming::ident(&event.rust.message));
    let docs = format!(" Which [`{}`]s: a field that is not given may have any value.", event.rust.message);
    let subject = format!(" Their subjects: {}", crate::docs::code(&event.subject));
    let mut methods: Vec<(&SubjectField, Vec<Literal>)> = Vec::new();
    for (index, field) in event.fields().enumerate() {
        let index = Literal::usize_unsuffixed(index);
        match methods.iter_mut().find(|(known, _)| known.path.name == field.path.name) {
            Some((_, places)) => places.push(index),
            None => methods.push((field, vec![index])),
        }
    }
    let methods = methods.iter().map(|(field, places)| method(field, places));
    let methods = methods.collect::<Result<Vec<_>, _>>()?;
    Ok(quote! {
        #[doc = #docs]
        #[doc = ""]
        #[doc = #subject]
        #[derive(Debug, Clone, Default)]
        pub struct #name(::subwire::__codegen::Filter<#message>);

        impl #name {
            #[doc = " All of them."]
            pub fn new() -> Self {
                Self(::subwire::__codegen::Filter::new())
            }

            #(#methods)*
        }

        impl ::core::convert::From<#name> for ::subwire::__codegen::Filter<#message> {
            fn from(filter: #name) -> Self {
                filter.0
            }
        }
    })
}

/// Narrows a field, which may have several places in the subject.
fn method(field: &SubjectField, places: &[Literal]) -> Result<TokenStream, Error> {
    let method = naming::ident(&field.method);
    let docs = format!(" Only those whose `{}` is this.", field.path.name);
    let deprecated = super::deprecated(field.path.deprecated);
    let text = quote!(::std::string::String);
    let (argument, set) = match (&field.kind, places) {
        (TokenKind::Text, [place]) => {
            (quote!(impl ::core::convert::Into<#text>), quote!(Self(self.0.text(#place, value))))
        }
        (TokenKind::Text, _) => {
            let set = quote! {
                let value: #text = ::core::convert::Into::into(value);
                Self(self.0 #(.text(#places, ::core::clone::Clone::clone(&value)))*)
            };
            (quote!(impl ::core::convert::Into<#text>), set)
        }
        (TokenKind::Enumeration { rust, prefix }, _) => {
            (path(rust)?, quote!(Self(self.0 #(.enumeration(#places, value.as_str_name(), #prefix))*)))
        }
        (TokenKind::Number(rust), _) => (path(rust)?, quote!(Self(self.0 #(.number(#places, value))*))),
        (TokenKind::Flag, _) => (quote!(bool), quote!(Self(self.0 #(.flag(#places, value))*))),
    };
    Ok(quote! {
        #[doc = #docs]
        #deprecated
        #[must_use]
        pub fn #method(self, value: #argument) -> Self {
            #set
        }
    })
}
