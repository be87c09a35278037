//! From the model to Rust: one `quote!` for each item of a service.
//!
//! The code names the runtime only through `::subwire::__codegen` and uses absolute paths
//! throughout, so that no message can take a name away from it.

mod client;
mod handler;
mod method;
mod server;

use std::str::FromStr;

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use crate::error::Error;
use crate::messages::internal;
use crate::model::{Method, Service};
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

fn deprecated(yes: bool) -> Option<TokenStream> {
    yes.then(|| quote!(#[deprecated]))
}
