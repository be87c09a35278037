//! The trait that a service implements.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Items, MethodItems, deprecated, docs};
use crate::model::Kind;

pub(super) fn emit(items: &Items<'_>) -> TokenStream {
    let name = &items.handler;
    let docs = docs(&items.service.comment, format!("Answers calls of `{}`.", items.service.full_name));
    let deprecated = deprecated(items.service.deprecated);
    let methods = items.methods.iter().map(method);
    quote! {
        #docs
        #deprecated
        pub trait #name: ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*
        }
    }
}

// No default bodies: the compiler lists what is not written yet.
fn method(items: &MethodItems<'_>) -> TokenStream {
    let MethodItems { method, function, request, response, .. } = items;
    let docs = docs(&method.comment, format!("Answers `{}`.", method.path));
    let deprecated = deprecated(method.deprecated);
    let argument = match method.kind {
        Kind::Unary | Kind::ServerStreaming => quote!(request: #request),
        Kind::ClientStreaming | Kind::BidiStreaming => {
            quote!(requests: ::subwire::__codegen::Streaming<#request>)
        }
    };
    let output = match method.kind {
        Kind::Unary | Kind::ClientStreaming => quote!(#response),
        Kind::ServerStreaming | Kind::BidiStreaming => {
            quote!(::subwire::__codegen::Streaming<#response>)
        }
    };
    quote! {
        #docs
        #deprecated
        fn #function(
            &self,
            cx: ::subwire::__codegen::Context,
            #argument,
        ) -> impl ::core::future::Future<Output = ::subwire::__codegen::Result<#output>>
            + ::core::marker::Send;
    }
}
