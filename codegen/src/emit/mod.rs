//! From the model to Rust: one `quote!` for each item of a service, an event, a stream or a consumer.
//!
//! The code names the runtime only through `::subwire::__codegen` and uses absolute paths
//! throughout, so that no message can take a name away from it.

mod client;
mod consumer;
mod event;
mod handler;
mod method;
mod server;
mod stream;

use std::str::FromStr;

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use crate::error::Error;
use crate::messages::internal;
use crate::model::{Event, Method, Package, Service};
use crate::naming;

/// Everything that is generated for a service.
pub(crate) fn service(service: &Service, descriptor_file: &str) -> Result<TokenStream, Error> {
    let items = Items::new(service)?;
    let handler = handler::emit(&items);
    let client = client::emit(&items);
    let server = server::emit(&items);
    let method = method::emit(&items, descriptor_file);
    Ok(quote!(#handler #client #server #method))
}

/// Everything that is generated for an event.
pub(crate) fn event(event: &Event) -> Result<TokenStream, Error> {
    event::emit(event)
}

/// Everything that is generated for the streams and consumers of a package, if it has any.
pub(crate) fn specs(package: &Package) -> TokenStream {
    let streams = module_ident(&package.rust.streams);
    let consumers = module_ident(&package.rust.consumers);
    if streams.is_none() && consumers.is_none() {
        return TokenStream::new();
    }
    let modules = [
        streams.as_ref().map(|module| stream::emit(package, module)),
        consumers.as_ref().map(|module| consumer::emit(package, module)),
    ];
    let of_streams = package.streams.iter().map(|stream| {
        let constant = naming::ident(&stream.constant);
        quote!(::core::clone::Clone::clone(&#streams::#constant))
    });
    let of_consumers = package.consumers.iter().map(|consumer| {
        let constant = naming::ident(&consumer.constant);
        let lazy = consumer::is_lazy(consumer).then(|| quote!(*));
        quote!(::core::clone::Clone::clone(&#lazy #consumers::#constant))
    });
    let docs = of_package("Every stream and consumer", &package.name);
    quote! {
        #(#modules)*

        #docs
        pub fn specs() -> ::subwire::__codegen::Specs {
            ::subwire::__codegen::Specs {
                streams: ::std::vec::Vec::from([#(#of_streams),*]),
                consumers: ::std::vec::Vec::from([#(#of_consumers),*]),
            }
        }
    }
}

/// The identifier of a module that may be absent.
fn module_ident(module: &str) -> Option<Ident> {
    (!module.is_empty()).then(|| naming::ident(module))
}

/// ` The streams of `agents.squad.v1`.`, for a package that may have no name.
fn of_package(what: &str, package: &str) -> TokenStream {
    let docs = match package {
        "" => format!(" {what} of this package."),
        package => format!(" {what} of `{package}`."),
    };
    quote!(#[doc = #docs])
}

/// A service whose names are tokens.
struct Items<'a> {
    service: &'a Service,
    handler: Ident,
    client: Ident,
    server: Ident,
    module: Ident,
    methods: Vec<MethodItems<'a>>,
}

/// A method whose names and types are tokens.
struct MethodItems<'a> {
    method: &'a Method,
    function: Ident,
    client_function: Ident,
    constant: Ident,
    request: TokenStream,
    response: TokenStream,
}

impl<'a> Items<'a> {
    fn new(service: &'a Service) -> Result<Self, Error> {
        let methods = service.methods.iter().map(MethodItems::new);
        Ok(Self {
            service,
            handler: naming::ident(&service.rust.handler),
            client: naming::ident(&service.rust.client),
            server: naming::ident(&service.rust.server),
            module: naming::ident(&service.rust.module),
            methods: methods.collect::<Result<_, _>>()?,
        })
    }

    /// Whether an item that names a deprecated one has to be silenced.
    fn allow_deprecated(&self) -> Option<TokenStream> {
        let mut methods = self.service.methods.iter();
        let any = self.service.deprecated || methods.any(|method| method.deprecated);
        any.then(|| quote!(#[allow(deprecated)]))
    }
}

impl<'a> MethodItems<'a> {
    fn new(method: &'a Method) -> Result<Self, Error> {
        Ok(Self {
            method,
            function: naming::ident(&method.function),
            client_function: naming::ident(&method.client_function),
            constant: naming::ident(&method.constant),
            request: path(&method.request.rust)?,
            response: path(&method.response.rust)?,
        })
    }
}

/// A Rust path; one that the user gave may not be one.
fn path(rust: &str) -> Result<TokenStream, Error> {
    TokenStream::from_str(rust).map_err(|error| internal(&format!("`{rust}`: {error}")))
}

/// A comment, or `otherwise` where there is none.
fn docs(comment: &[String], otherwise: String) -> TokenStream {
    let mut comment = comment;
    let otherwise = [otherwise];
    if comment.is_empty() {
        comment = &otherwise;
    }
    let lines = comment.iter().map(|line| match line.as_str() {
        "" => String::new(),
        line => format!(" {line}"),
    });
    quote!(#(#[doc = #lines])*)
}

/// `Some(..)` or `None`.
fn option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

fn deprecated(yes: bool) -> Option<TokenStream> {
    yes.then(|| quote!(#[deprecated]))
}
