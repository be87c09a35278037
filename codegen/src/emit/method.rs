//! What is known before any call is made: the service's description and its methods.

use std::time::Duration;

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};

use super::{Items, MethodItems};
use crate::model::{Idempotency, Kind};

pub(super) fn emit(items: &Items<'_>, descriptor_file: &str) -> TokenStream {
    let service = items.service;
    let module = &items.module;
    let about = format!(" What is known about `{}` before any call.", service.full_name);
    let methods_of = format!(" The methods of `{}`.", service.full_name);
    let (name, subject) = (&service.full_name, &service.subject);
    let (version, description) = (&service.version, &service.description);
    let constants = items.methods.iter().map(|method| &method.constant);
    let methods = items.methods.iter().map(|method| self::method(items, method));
    quote! {
        #[doc = #about]
        pub static SERVICE: ::subwire::__codegen::ServiceInfo = ::subwire::__codegen::ServiceInfo {
            name: #name,
            subject: #subject,
            version: #version,
            description: #description,
            methods: &[#(&#module::#constants),*],
            descriptor_set: ::core::include_bytes!(#descriptor_file),
        };

        #[doc = #methods_of]
        pub mod #module {
            #(#methods)*
        }
    }
}

fn method(items: &Items<'_>, method: &MethodItems<'_>) -> TokenStream {
    let MethodItems { method, constant, .. } = method;
    let docs = format!(" `{}`", method.subject);
    let service = &items.service.full_name;
    let (name, path, subject) = (&method.name, &method.path, &method.subject);
    let (request, response) = (&method.request.proto, &method.response.proto);
    let kind = match method.kind {
        Kind::Unary => "Unary",
        Kind::ServerStreaming => "ServerStreaming",
        Kind::ClientStreaming => "ClientStreaming",
        Kind::BidiStreaming => "BidiStreaming",
    };
    let idempotency = match method.idempotency {
        Idempotency::Unknown => "Unknown",
        Idempotency::NoSideEffects => "NoSideEffects",
        Idempotency::Idempotent => "Idempotent",
    };
    let (kind, idempotency) = (format_ident!("{kind}"), format_ident!("{idempotency}"));
    let timeout = timeout(method.timeout);
    quote! {
        #[doc = #docs]
        pub static #constant: ::subwire::__codegen::Method = ::subwire::__codegen::Method {
            service: #service,
            name: #name,
            path: #path,
            subject: #subject,
            kind: ::subwire::__codegen::Kind::#kind,
            idempotency: ::subwire::__codegen::Idempotency::#idempotency,
            timeout: #timeout,
            request: #request,
            response: #response,
        };
    }
}

fn timeout(timeout: Option<Duration>) -> TokenStream {
    let Some(timeout) = timeout else {
        return quote!(::core::option::Option::None);
    };
    let (unit, count) = if timeout.subsec_nanos() % 1_000_000 == 0 {
        ("from_millis", timeout.as_millis())
    } else {
        ("from_nanos", timeout.as_nanos())
    };
    let (unit, count) = (format_ident!("{unit}"), Literal::u128_unsuffixed(count));
    quote!(::core::option::Option::Some(::subwire::__codegen::Duration::#unit(#count)))
}
