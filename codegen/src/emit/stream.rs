//! The streams of a package, as data.

use std::time::Duration;

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use super::{docs, option};
use crate::model::{Discard, Package, Republish, Retention, Storage, Stream};
use crate::naming;

/// One static for each stream, in a module.
pub(super) fn emit(package: &Package, module: &Ident) -> TokenStream {
    let docs = super::of_package("The streams", &package.name);
    let streams = package.streams.iter().map(stream);
    quote! {
        #docs
        pub mod #module {
            #(#streams)*
        }
    }
}

fn stream(stream: &Stream) -> TokenStream {
    let constant = naming::ident(&stream.constant);
    let docs = docs(&crate::docs::lines(&stream.description), format!("The stream `{}`.", stream.name));
    let (name, description) = (text(&stream.name), text(&stream.description));
    let subjects = texts(&stream.subjects);
    let retention = match stream.retention {
        Retention::Limits => "Limits",
        Retention::Interest => "Interest",
        Retention::WorkQueue => "WorkQueue",
    };
    let storage = match stream.storage {
        Storage::File => "File",
        Storage::Memory => "Memory",
    };
    let discard = match stream.discard {
        Discard::Old => "Old",
        Discard::New => "New",
    };
    let (retention, storage, discard) =
        (format_ident!("{retention}"), format_ident!("{storage}"), format_ident!("{discard}"));
    let replicas = Literal::u8_unsuffixed(stream.replicas);
    let max_messages = number(stream.max_messages);
    let max_messages_per_subject = number(stream.max_messages_per_subject);
    let max_bytes = number(stream.max_bytes);
    let max_message_bytes = number(stream.max_message_bytes.map(u64::from));
    let max_age = option(stream.max_age.map(duration));
    let duplicate_window = option(stream.duplicate_window.map(duration));
    let Stream { allow_direct, allow_message_ttl, allow_atomic_publish, .. } = stream;
    let republish = option(stream.republish.as_ref().map(republish));
    quote! {
        #docs
        pub static #constant: ::subwire::__codegen::StreamSpec = ::subwire::__codegen::StreamSpec {
            name: #name,
            subjects: #subjects,
            description: #description,
            retention: ::subwire::__codegen::Retention::#retention,
            storage: ::subwire::__codegen::Storage::#storage,
            replicas: #replicas,
            max_messages: #max_messages,
            max_messages_per_subject: #max_messages_per_subject,
            max_bytes: #max_bytes,
            max_age: #max_age,
            max_message_bytes: #max_message_bytes,
            discard: ::subwire::__codegen::Discard::#discard,
            discard_new_per_subject: false,
            duplicate_window: #duplicate_window,
            allow_direct: #allow_direct,
            allow_message_ttl: #allow_message_ttl,
            allow_atomic_publish: #allow_atomic_publish,
            allow_rollup: false,
            deny_delete: false,
            republish: #republish,
        };
    }
}

fn republish(republish: &Republish) -> TokenStream {
    let (source, destination) = (text(&republish.source), text(&republish.destination));
    let headers_only = republish.headers_only;
    quote! {
        ::subwire::__codegen::Republish {
            source: #source,
            destination: #destination,
            headers_only: #headers_only,
        }
    }
}

fn number(number: Option<u64>) -> TokenStream {
    let number = number.map(Literal::u64_unsuffixed);
    option(number.map(|number| quote!(#number)))
}

pub(super) fn text(text: &str) -> TokenStream {
    quote!(::subwire::__codegen::Cow::Borrowed(#text))
}

pub(super) fn texts(all: &[String]) -> TokenStream {
    let all = all.iter().map(|one| text(one));
    quote!(::subwire::__codegen::Cow::Borrowed(&[#(#all),*]))
}

pub(super) fn duration(duration: Duration) -> TokenStream {
    let nanos = duration.subsec_nanos();
    let (unit, count) = match nanos {
        0 => ("from_secs", u128::from(duration.as_secs())),
        nanos if nanos % 1_000_000 == 0 => ("from_millis", duration.as_millis()),
        _ => {
            let seconds = Literal::u64_unsuffixed(duration.as_secs());
            let nanos = Literal::u32_unsuffixed(nanos);
            return quote!(::subwire::__codegen::Duration::new(#seconds, #nanos));
        }
    };
    let (unit, count) = (format_ident!("{unit}"), Literal::u128_unsuffixed(count));
    quote!(::subwire::__codegen::Duration::#unit(#count))
}
