//! Rules of services and methods: subjects, versions, timeouts.

use std::collections::HashMap;

use prost_reflect::{MethodDescriptor, ServiceDescriptor};
use prost_types::method_options::IdempotencyLevel;

use super::package::{Version, index};
use crate::docs;
use crate::externs::Externs;
use crate::model::{Idempotency, Kind, Method, Service, ServiceItems, TypeRef};
use crate::naming;
use crate::options;
use crate::place::Report;

/// Longest subject, in bytes: NATS takes more, but every layer between has limits of its own.
const MAX_SUBJECT_BYTES: usize = 255;

/// Field numbers on the way to places in a `FileDescriptorProto`.
const SERVICE: i32 = 6;
const NAME: i32 = 1;
const SERVICE_OPTIONS: i32 = 3;
const METHOD_OPTIONS: i32 = 4;

/// Which method has which subject, over all packages, and where it is written.
#[derive(Default)]
pub(super) struct Subjects {
    taken: HashMap<String, (String, String)>,
}

/// The model of a service; what breaks a rule is reported and gets a harmless value.
pub(super) fn build(
    service: &ServiceDescriptor,
    rust: ServiceItems,
    externs: &Externs,
    subjects: &mut Subjects,
    report: &mut Report<'_>,
) -> Service {
    let file = service.parent_file();
    let path = [SERVICE, index(service)];
    let comment = report.places.comment(file.name(), &path).to_owned();
    let options = options::service(service);
    let mut built = Service {
        name: service.name().to_owned(),
        full_name: service.full_name().to_owned(),
        subject: subject(service, options.subject, report),
        version: version(service, options.version, report),
        description: options.description.unwrap_or_else(|| docs::first_paragraph(&comment)),
        comment: docs::lines(&comment),
        deprecated: options.deprecated,
        methods: Vec::new(),
        rust,
    };
    for method in service.methods() {
        let method = self::method(&built, &method, externs, subjects, report);
        built.methods.push(method);
    }
    built
}

fn method(
    service: &Service,
    method: &MethodDescriptor,
    externs: &Externs,
    subjects: &mut Subjects,
    report: &mut Report<'_>,
) -> Method {
    let file = method.parent_file();
    let path = method.path();
    let options = options::method(method);
    let timeout = options.timeout.unwrap_or_else(|message| {
        let place = [path, &[METHOD_OPTIONS, options::METHOD_EXTENSION]].concat();
        report.add(&file, &place, "METHOD_TIMEOUT_RANGE", message);
        None
    });
    let type_ref = |message: &prost_reflect::MessageDescriptor| TypeRef {
        proto: message.full_name().to_owned(),
        rust: externs.path_from(method.parent_service().package_name(), message.full_name()),
    };
    let function = naming::snake(method.name());
    let client_function = match function.as_str() {
        "new" | "clone" | "into" | "try_into" => format!("{function}_"),
        _ => function.clone(),
    };
    Method {
        name: method.name().to_owned(),
        path: format!("{}/{}", service.full_name, method.name()),
        subject: method_subject(service, method, subjects, report),
        kind: kind(method),
        idempotency: match options.idempotency {
            IdempotencyLevel::IdempotencyUnknown => Idempotency::Unknown,
            IdempotencyLevel::NoSideEffects => Idempotency::NoSideEffects,
            IdempotencyLevel::Idempotent => Idempotency::Idempotent,
        },
        timeout,
        request: type_ref(&method.input()),
        response: type_ref(&method.output()),
        comment: docs::lines(report.places.comment(file.name(), path)),
        deprecated: options.deprecated,
        function,
        client_function,
        constant: naming::shouty(method.name()),
    }
}

fn kind(method: &MethodDescriptor) -> Kind {
    match (method.is_client_streaming(), method.is_server_streaming()) {
        (false, false) => Kind::Unary,
        (false, true) => Kind::ServerStreaming,
        (true, false) => Kind::ClientStreaming,
        (true, true) => Kind::BidiStreaming,
    }
}

fn method_subject(
    service: &Service,
    method: &MethodDescriptor,
    subjects: &mut Subjects,
    report: &mut Report<'_>,
) -> String {
    let file = method.parent_file();
    let place = [method.path(), &[NAME]].concat();
    let token = naming::token(method.name());
    if method.name().starts_with('_') {
        let message = format!(
            "`{}`: names that start with `_` are reserved for the runtime; write `{}`",
            method.name(),
            naming::upper_camel(method.name()),
        );
        report.add(&file, &place, "RPC_SUBJECT_TOKEN", message);
    }
    let subject = format!("{}.{token}", service.subject);
    if subject.len() > MAX_SUBJECT_BYTES {
        let message = format!(
            "the subject has {} bytes and {MAX_SUBJECT_BYTES} are allowed; write shorter names",
            subject.len(),
        );
        report.add(&file, &place, "SUBJECT_LENGTH", message);
    }
    match subjects.taken.get(&subject) {
        Some((other, at)) => {
            let message = format!(
                "`{}` and `{other}` ({at}) are both `{subject}` on the bus; write another name",
                method.full_name(),
            );
            report.add(&file, &place, "RPC_SUBJECT_UNIQUE", message);
        }
        None => {
            let at = report.place(&file, &place);
            let taken = (method.full_name().to_owned(), at);
            subjects.taken.insert(subject.clone(), taken);
        }
    }
    subject
}

fn subject(service: &ServiceDescriptor, option: Option<String>, report: &mut Report<'_>) -> String {
    let own = format!("svc.{}", service.package_name());
    let Some(subject) = option else {
        return own;
    };
    if subject.split('.').all(is_subject_token) {
        return subject;
    }
    let message = format!(
        "`{}` is not a subject of tokens [A-Za-z0-9_-] that do not start with `_`; write `{own}`",
        subject.escape_debug(),
    );
    let path = [SERVICE, index(service), SERVICE_OPTIONS, options::SERVICE_EXTENSION];
    report.add(&service.parent_file(), &path, "SERVICE_SUBJECT", message);
    own
}

/// Wildcards, blanks, `$SYS`, `$JS`, `$SRV` and `_INBOX` are no tokens of ours.
fn is_subject_token(token: &str) -> bool {
    !token.is_empty()
        && !token.starts_with('_')
        && token.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

fn version(service: &ServiceDescriptor, option: Option<String>, report: &mut Report<'_>) -> String {
    let last = service.package_name().rsplit('.').next().unwrap_or_default();
    let default = match Version::parse(last) {
        Some(version) => version.semver(),
        None => "1.0.0".to_owned(),
    };
    let Some(version) = option else {
        return default;
    };
    if semver::Version::parse(&version).is_ok() {
        return version;
    }
    let message = format!("version `{}` is not SemVer; write `{default}`", version.escape_debug(),);
    let path = [SERVICE, index(service), SERVICE_OPTIONS, options::SERVICE_EXTENSION];
    report.add(&service.parent_file(), &path, "SERVICE_VERSION_SEMVER", message);
    default
}
