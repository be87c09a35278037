//! The durable consumers of a package, as data.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use super::stream::{duration, text, texts};
use super::{docs, option};
use crate::model::{Consumer, Deliver, Package, Replay};
use crate::naming;

/// One static for each consumer, in a module.
pub(super) fn emit(package: &Package, module: &Ident) -> TokenStream {
    let docs = super::of_package("The durable consumers", &package.name);
    let consumers = package.consumers.iter().map(consumer);
    quote! {
        #docs
        pub mod #module {
            #(#consumers)*
        }
    }
}

fn consumer(consumer: &Consumer) -> TokenStream {
    let constant = naming::ident(&consumer.constant);
    let otherwise = format!("The consumer `{}` of the stream `{}`.", consumer.name, consumer.stream);
    let docs = docs(&crate::docs::lines(&consumer.description), otherwise);
    let spec = spec(consumer);
    if is_lazy(consumer) {
        return quote! {
            #docs
            pub static #constant: ::std::sync::LazyLock<::subwire::__codegen::ConsumerSpec> =
                ::std::sync::LazyLock::new(|| { #spec });
        };
    }
    quote! {
        #docs
        pub static #constant: ::subwire::__codegen::ConsumerSpec = #spec;
    }
}

/// Whether it is made when it is first used: no constant can hold a time after the epoch.
pub(super) fn is_lazy(consumer: &Consumer) -> bool {
    matches!(consumer.deliver, Deliver::FromTime(_))
}

fn spec(consumer: &Consumer) -> TokenStream {
    let (name, stream) = (text(&consumer.name), text(&consumer.stream));
    let (description, filters) = (text(&consumer.description), texts(&consumer.filters));
    let deliver = deliver(consumer.deliver);
    let ack_wait = duration(consumer.ack_wait);
    let max_deliver = consumer.max_deliver.map(Literal::u32_unsuffixed);
    let max_deliver = option(max_deliver.map(|number| quote!(#number)));
    let backoff = consumer.backoff.iter().copied().map(duration);
    let mut backoff = quote!(&[#(#backoff),*]);
    if is_lazy(consumer) && !consumer.backoff.is_empty() {
        // In a function, what a call made would be gone at its end.
        backoff = quote!(const { #backoff });
    }
    let max_ack_pending = Literal::u32_unsuffixed(consumer.max_ack_pending);
    let replay = match consumer.replay {
        Replay::Instant => format_ident!("Instant"),
        Replay::Original => format_ident!("Original"),
    };
    quote! {
        ::subwire::__codegen::ConsumerSpec {
            name: #name,
            stream: #stream,
            description: #description,
            filters: #filters,
            deliver: #deliver,
            ack: ::subwire::__codegen::AckPolicy::Explicit,
            ack_wait: #ack_wait,
            max_deliver: #max_deliver,
            backoff: ::subwire::__codegen::Cow::Borrowed(#backoff),
            max_ack_pending: #max_ack_pending,
            replay: ::subwire::__codegen::ReplayPolicy::#replay,
            headers_only: false,
            inactive_threshold: ::core::option::Option::None,
        }
    }
}

fn deliver(deliver: Deliver) -> TokenStream {
    let policy = match deliver {
        Deliver::All => quote!(All),
        Deliver::Last => quote!(Last),
        Deliver::LastPerSubject => quote!(LastPerSubject),
        Deliver::New => quote!(New),
        Deliver::FromSequence(sequence) => {
            let sequence = Literal::u64_unsuffixed(sequence);
            quote!(FromSequence(#sequence))
        }
        Deliver::FromTime(since_1970) => {
            let since_1970 = duration(since_1970);
            quote!(FromTime(::subwire::__codegen::SystemTime::UNIX_EPOCH + #since_1970))
        }
    };
    quote!(::subwire::__codegen::Deliver::#policy)
}
