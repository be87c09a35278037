//! The server: a tower service that hands each request to a method of the trait.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::{Items, MethodItems, docs};
use crate::model::Kind;

pub(super) fn emit(items: &Items<'_>) -> TokenStream {
    let (name, handler) = (&items.server, &items.handler);
    let docs = docs(&[], format!("Answers calls of `{}` with `T`.", items.service.full_name));
    let text = name.to_string();
    let allow = items.allow_deprecated();
    let body = dispatch(items);
    quote! {
        #docs
        #[doc = ""]
        #[doc = " Clones share the `T`."]
        pub struct #name<T> {
            service: ::subwire::__codegen::Arc<T>,
        }

        #allow
        impl<T: #handler> #name<T> {
            #[doc = " Serves `service`."]
            pub fn new(service: T) -> Self {
                Self::from_arc(::subwire::__codegen::Arc::new(service))
            }

            #[doc = " Serves a `service` that is used elsewhere too."]
            pub fn from_arc(service: ::subwire::__codegen::Arc<T>) -> Self {
                Self { service }
            }
        }

        impl<T> ::core::clone::Clone for #name<T> {
            fn clone(&self) -> Self {
                Self { service: ::core::clone::Clone::clone(&self.service) }
            }
        }

        impl<T> ::core::fmt::Debug for #name<T> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(#text).finish_non_exhaustive()
            }
        }

        #allow
        impl<T: #handler> ::subwire::__codegen::NamedService for #name<T> {
            const SERVICE: &'static ::subwire::__codegen::ServiceInfo = &SERVICE;

            fn answer(
                &self,
                request: ::subwire::__codegen::RpcRequest,
            ) -> ::subwire::__codegen::BoxFuture<
                ::subwire::__codegen::Result<::subwire::__codegen::RpcResponse>,
            > {
                #body
            }
        }

        #allow
        impl<T: #handler> ::subwire::__codegen::Service<::subwire::__codegen::RpcRequest>
            for #name<T>
        {
            type Response = ::subwire::__codegen::RpcResponse;
            type Error = ::subwire::__codegen::Status;
            type Future = ::subwire::__codegen::BoxFuture<
                ::subwire::__codegen::Result<::subwire::__codegen::RpcResponse>,
            >;

            fn poll_ready(
                &mut self,
                _: &mut ::subwire::__codegen::TaskContext<'_>,
            ) -> ::subwire::__codegen::Poll<::subwire::__codegen::Result<()>> {
                ::subwire::__codegen::Poll::Ready(::core::result::Result::Ok(()))
            }

            fn call(&mut self, request: ::subwire::__codegen::RpcRequest) -> Self::Future {
                ::subwire::__codegen::NamedService::answer(self, request)
            }
        }

        #allow
        impl<T: #handler> ::core::convert::From<#name<T>> for ::subwire::__codegen::Channel {
            fn from(server: #name<T>) -> Self {
                Self::from_server(server)
            }
        }
    }
}

fn dispatch(items: &Items<'_>) -> TokenStream {
    let unimplemented = quote!(::subwire::__codegen::unimplemented(request));
    if items.methods.is_empty() {
        return unimplemented;
    }
    let arms = items.methods.iter().map(|method| arm(items, method));
    quote! {
        let service = ::core::clone::Clone::clone(&self.service);
        match request.method().path {
            #(#arms)*
            _ => #unimplemented,
        }
    }
}

fn arm(items: &Items<'_>, method: &MethodItems<'_>) -> TokenStream {
    let handler = &items.handler;
    let MethodItems { method, function, .. } = method;
    let path = &method.path;
    let (run, argument) = match method.kind {
        Kind::Unary => ("unary", "request"),
        Kind::ServerStreaming => ("server_streaming", "request"),
        Kind::ClientStreaming => ("client_streaming", "requests"),
        Kind::BidiStreaming => ("bidi_streaming", "requests"),
    };
    let (run, argument) = (format_ident!("{run}"), format_ident!("{argument}"));
    // The trait is named, so that a method called `clone` is never mistaken for another.
    quote! {
        #path => ::subwire::__codegen::#run(request, move |cx, #argument| async move {
            <T as #handler>::#function(&service, cx, #argument).await
        }),
    }
}
