//! The typed client.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Items, MethodItems, deprecated, docs};
use crate::model::Kind;

pub(super) fn emit(items: &Items<'_>) -> TokenStream {
    let name = &items.client;
    let docs = docs(&[], format!("Calls `{}`.", items.service.full_name));
    let deprecated = deprecated(items.service.deprecated);
    let allow = items.service.deprecated.then(|| quote!(#[allow(deprecated)]));
    let new = format!(" Calls through `channel`: a bus, or a [`{}`] in the same process.", items.server);
    let methods = items.methods.iter().map(|method| self::method(items, method));
    quote! {
        #docs
        #[doc = ""]
        #[doc = " Clones share the channel and cost a reference count."]
        #deprecated
        #[derive(Debug, Clone)]
        pub struct #name {
            channel: ::subwire::__codegen::Channel,
        }

        #allow
        impl #name {
            #[doc = #new]
            pub fn new(
                channel: impl ::core::convert::Into<::subwire::__codegen::Channel>,
            ) -> Self {
                Self { channel: ::core::convert::Into::into(channel) }
            }

            #(#methods)*
        }
    }
}

fn method(items: &Items<'_>, method: &MethodItems<'_>) -> TokenStream {
    let module = &items.module;
    let MethodItems { method, client_function, constant, request, response, .. } = method;
    let docs = docs(&method.comment, format!("Calls `{}`.", method.path));
    let deprecated = deprecated(method.deprecated);
    let streaming = quote!(::subwire::__codegen::Streaming);
    let (argument, sent, value) = match method.kind {
        Kind::Unary | Kind::ServerStreaming => (quote!(request: #request), quote!(#request), quote!(request)),
        Kind::ClientStreaming | Kind::BidiStreaming => (
            quote!(requests: impl ::core::convert::Into<#streaming<#request>>),
            quote!(#streaming<#request>),
            quote!(::core::convert::Into::into(requests)),
        ),
    };
    let received = match method.kind {
        Kind::Unary | Kind::ClientStreaming => quote!(#response),
        Kind::ServerStreaming | Kind::BidiStreaming => quote!(#streaming<#response>),
    };
    quote! {
        #docs
        #deprecated
        pub fn #client_function(
            &self,
            #argument,
        ) -> ::subwire::__codegen::Call<'_, #sent, #received> {
            ::subwire::__codegen::Call::new(&self.channel, &#module::#constant, #value)
        }
    }
}
