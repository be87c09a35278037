//! Names that are different in protobuf and the same in Rust, and names for generated items.

use std::collections::{HashMap, HashSet};

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, ServiceDescriptor,
};

use super::types::{all_enums, all_messages};
use crate::builtin;
use crate::externs::Externs;
use crate::model::{Event, Package, PackageItems, ServiceItems};
use crate::naming;
use crate::place::Report;

/// Field number of the name in a descriptor, and of the package in a file.
const NAME: i32 = 1;
const PACKAGE: i32 = 2;

/// Every item of the generated code by scope and name.
///
/// Structs, enums, traits and modules share one namespace; statics have one of their own, which
/// no message reaches, so `SERVICE` is always free.
#[derive(Default)]
pub(super) struct Names {
    taken: HashMap<(String, String), Owner>,
}

/// What has a name: its protobuf name, and where it is written.
struct Owner {
    proto: String,
    place: String,
}

/// Names all that prost-build will generate, and reports what would get one name twice.
pub(super) fn declare(pool: &DescriptorPool, externs: &Externs, report: &mut Report<'_>) -> Names {
    let mut names = Names::default();
    for file in pool.files() {
        if builtin::is_of_runtime(&file) {
            continue;
        }
        names.package(&file, report);
        for message in all_messages(&file) {
            if !externs.covers(message.full_name()) {
                names.message(&message, report);
            }
        }
        for found in all_enums(&file) {
            if !externs.covers(found.full_name()) {
                names.enumeration(&found, report);
            }
        }
    }
    names
}

impl Names {
    fn package(&mut self, file: &FileDescriptor, report: &mut Report<'_>) {
        let mut scope = String::new();
        let mut proto = String::new();
        for part in file.package_name().split('.').filter(|part| !part.is_empty()) {
            proto = join(&proto, part, ".");
            let name = naming::snake(part);
            let key = (scope.clone(), name.clone());
            if self.taken.get(&key).is_none_or(|owner| owner.proto != proto) {
                self.take(&scope, &name, &proto, file, &[PACKAGE], report);
            }
            scope = join(&scope, &name, "::");
        }
    }

    fn message(&mut self, message: &MessageDescriptor, report: &mut Report<'_>) {
        let file = message.parent_file();
        let proto = message.full_name();
        let at = |rest: &[i32]| [message.path(), rest].concat();
        let outer = scope_of(message.package_name(), proto);
        let name = naming::upper_camel(message.name());
        self.take(&outer, &name, proto, &file, &at(&[NAME]), report);

        let written = message.descriptor_proto();
        let oneofs: Vec<_> = message.oneofs().filter(|oneof| !oneof.is_synthetic()).collect();
        let nested = message.child_messages().any(|nested| !nested.is_map_entry());
        let inner = join(&outer, &naming::snake(message.name()), "::");
        if nested || !oneofs.is_empty() || !written.enum_type.is_empty() {
            let module = naming::snake(message.name());
            self.take(&outer, &module, proto, &file, &at(&[NAME]), report);
        }

        let fields = join(&join(&outer, &name, "::"), "fields", "#");
        let methods = join(&join(&outer, &name, "::"), "methods", "#");
        for field in message.fields() {
            let scope = match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
                None => fields.clone(),
                Some(oneof) => {
                    let variant = naming::upper_camel(field.name());
                    let scope = join(&join(&inner, oneof.name(), "::"), "variants", "#");
                    self.take(&scope, &variant, field.full_name(), &file, field.path(), report);
                    continue;
                }
            };
            let name = naming::snake(field.name());
            if name.starts_with("r#") && maps_to_enum(&field) {
                let problem = format!(
                    "`{}` is a keyword in Rust, of which prost makes no methods for a map of enums; write another name",
                    field.name(),
                );
                report.add(&file, field.path(), "NAME_IDENTIFIER", problem);
            }
            if self.take(&scope, &name, field.full_name(), &file, field.path(), report) {
                for method in accessors(&field, name) {
                    self.take(&methods, &method, field.full_name(), &file, field.path(), report);
                }
            }
        }
        for oneof in oneofs {
            let name = naming::snake(oneof.name());
            self.take(&fields, &name, oneof.full_name(), &file, oneof.path(), report);
            // prost-build itself steps aside for nested types.
            let plain = naming::upper_camel(oneof.name());
            let clash = written.nested_type.iter().map(|nested| nested.name());
            let mut clash = clash.chain(written.enum_type.iter().map(|found| found.name()));
            let clash = clash.any(|name| naming::upper_camel(name) == plain);
            let name = if clash { format!("{plain}OneOf") } else { plain };
            self.take(&inner, &name, oneof.full_name(), &file, oneof.path(), report);
        }
    }

    fn enumeration(&mut self, found: &EnumDescriptor, report: &mut Report<'_>) {
        let file = found.parent_file();
        let scope = scope_of(found.package_name(), found.full_name());
        let name = naming::upper_camel(found.name());
        let path = [found.path(), &[NAME]].concat();
        self.take(&scope, &name, found.full_name(), &file, &path, report);

        let variants = join(&join(&scope, &name, "::"), "variants", "#");
        let mut numbers = HashSet::new();
        for value in found.values() {
            // Of two values with one number (`allow_alias`) only the first is generated.
            if numbers.insert(value.number()) {
                let name = naming::variant(&name, value.name());
                self.take(&variants, &name, value.full_name(), &file, value.path(), report);
            }
        }
    }

    /// Whether the name was free; else it is reported.
    fn take(
        &mut self,
        scope: &str,
        name: &str,
        proto: &str,
        file: &FileDescriptor,
        path: &[i32],
        report: &mut Report<'_>,
    ) -> bool {
        let key = (scope.to_owned(), name.to_owned());
        if let Some(owner) = self.taken.get(&key) {
            let message = format!(
                "`{proto}` and `{}` ({}) are both `{name}` in Rust; write another name",
                owner.proto, owner.place,
            );
            report.add(file, path, "RUST_NAME_UNIQUE", message);
            return false;
        }
        let owner = Owner { proto: proto.to_owned(), place: report.place(file, path) };
        self.taken.insert(key, owner);
        true
    }

    /// Names for what is generated for a service.
    pub(super) fn of_service(&mut self, service: &ServiceDescriptor) -> ServiceItems {
        let scope = scope_of(service.package_name(), service.full_name());
        let name = naming::upper_camel(service.name());
        let base = match name.strip_suffix("Service") {
            None | Some("") => name.as_str(),
            Some(base) => base,
        };
        let owner = service.full_name();
        ServiceItems {
            handler: self.choose(&scope, owner, name.clone(), format!("{name}Handler")),
            client: self.choose(&scope, owner, format!("{base}Client"), format!("{base}RpcClient")),
            server: self.choose(&scope, owner, format!("{base}Server"), format!("{base}RpcServer")),
            module: self.choose(&scope, owner, "method".to_owned(), "rpc_method".to_owned()),
        }
    }

    /// The name of an event's filter.
    pub(super) fn of_filter(&mut self, package: &str, event: &Event) -> String {
        let scope = scope_of(package, &event.name);
        // `Self_` is one only because of the keyword.
        let message = event.rust.message.trim_end_matches('_');
        self.choose(&scope, &event.name, format!("{message}Filter"), format!("{message}EventFilter"))
    }

    /// The modules of streams and of consumers.
    pub(super) fn of_package(&mut self, package: &Package) -> PackageItems {
        let scope = scope_of(&package.name, &format!("{}.stream", package.name));
        let mut module = |wanted: bool, name: &str| match wanted {
            false => String::new(),
            true => self.choose(&scope, &package.name, name.to_owned(), format!("{name}_spec")),
        };
        PackageItems {
            streams: module(!package.streams.is_empty(), "stream"),
            consumers: module(!package.consumers.is_empty(), "consumer"),
        }
    }

    /// The first name that nothing in the scope has: `first`, `second`, or that with a number.
    fn choose(&mut self, scope: &str, owner: &str, first: String, second: String) -> String {
        let free = |name: &String| !self.taken.contains_key(&(scope.to_owned(), name.clone()));
        let chosen = candidates(first, second).find(free).unwrap_or_default();
        let owner = Owner { proto: owner.to_owned(), place: String::new() };
        self.taken.insert((scope.to_owned(), chosen.clone()), owner);
        chosen
    }
}

/// The names of statics in one module: each the first that none before it has.
#[derive(Default)]
pub(super) struct Constants {
    taken: HashSet<String>,
}

impl Constants {
    pub(super) fn choose(&mut self, first: String, second: String) -> String {
        let chosen = candidates(first, second).find(|name| !self.taken.contains(name)).unwrap_or_default();
        self.taken.insert(chosen.clone());
        chosen
    }
}

/// Whether the field is a map whose values are of an enum.
fn maps_to_enum(field: &FieldDescriptor) -> bool {
    let kind = field.kind();
    let value = kind.as_message().filter(|_| field.is_map()).and_then(|entry| entry.get_field(2));
    value.is_some_and(|value| matches!(value.kind(), Kind::Enum(_)))
}

/// The methods that prost makes for a field outside of a oneof, by the field's name in Rust.
fn accessors(field: &FieldDescriptor, name: String) -> Vec<String> {
    let plain = name.trim_start_matches("r#").to_owned();
    let with = |prefix: &str| format!("{prefix}_{plain}");
    let kind = field.kind();
    match kind {
        _ if maps_to_enum(field) => vec![with("get"), with("insert")],
        Kind::Enum(_) if field.is_list() => vec![with("push"), name],
        Kind::Enum(_) => vec![with("set"), name],
        Kind::Message(_) => Vec::new(),
        _ if field.containing_oneof().is_some() => vec![name],
        _ => Vec::new(),
    }
}

fn candidates(first: String, second: String) -> impl Iterator<Item = String> {
    let numbered = second.clone();
    let numbered = (2u32..).map(move |number| format!("{numbered}{number}"));
    [first, second].into_iter().chain(numbered)
}

/// The Rust module that a type of this full name is in.
fn scope_of(package: &str, full_name: &str) -> String {
    let below = full_name.strip_prefix(package).unwrap_or(full_name);
    let package = package.split('.').filter(|part| !part.is_empty());
    let below = below.split('.').filter(|part| !part.is_empty());
    let mut parts: Vec<String> = package.chain(below).map(naming::snake).collect();
    parts.pop();
    parts.join("::")
}

fn join(scope: &str, name: &str, by: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}{by}{name}") }
}
