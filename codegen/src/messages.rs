//! Messages and enums: prost-build makes the types, we bring the comments.
//!
//! prost-build rewrites comments in ways that break code blocks, so it gets a number in place of
//! each comment and the number is replaced by the lines afterwards.

use std::collections::{BTreeMap, HashSet};

use prost_build::Module;
use prost_reflect::{FileDescriptor, Kind};
use prost_types::source_code_info::Location;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, SourceCodeInfo,
    field_descriptor_proto,
};

use crate::builtin;
use crate::docs;
use crate::error::{Error, Problem};
use crate::externs::PROST;
use crate::model::Schema;

/// Stands in the place of a comment, followed by its number.
const PLACEHOLDER: &str = "/// subwire-comment:";

/// The Rust source of each package's types, unformatted; packages without types are absent.
pub(crate) fn generate(schema: &Schema) -> Result<BTreeMap<String, String>, Error> {
    let wanted = wanted_packages(schema);
    let mut config = prost_build::Config::new();
    config
        .format(false)
        .prost_path(PROST)
        .bytes(["."])
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com")
        // Every known type is named with its path below, because prost-build converts the case of
        // what it finds by prefix, and our `__codegen` would lose its underscores.
        .compile_well_known_types();
    for (proto, rust) in extern_types(schema) {
        config.extern_path(proto, rust);
    }
    let mut comments = Vec::new();
    let mut files: Vec<FileDescriptor> = schema.pool.files().collect();
    files.sort_by(|a, b| a.name().cmp(b.name()));
    let mut packages = BTreeMap::new();
    let requests = files.iter().map(|file| {
        let module = Module::from_protobuf_package_name(file.package_name());
        packages.insert(module.to_string(), file.package_name().to_owned());
        (module, request(file, schema, &mut comments))
    });
    let requests = requests.collect();
    let modules = config.generate(requests).map_err(|error| internal(&error.to_string()))?;
    let sources = modules.into_iter().filter_map(|(module, source)| {
        let package = packages.get(&module.to_string())?.clone();
        wanted.contains(&package).then(|| (package, with_comments(&source, &comments)))
    });
    Ok(sources.collect())
}

/// A defect of ours or of prost-build, which no rule stopped before.
pub(crate) fn internal(message: &str) -> Error {
    let message = format!("generated code does not parse: {message}; please report it");
    Error::refused(vec![Problem::of_file("".as_ref(), "INTERNAL", message)])
}

/// The packages of the user, and the built-in ones whose types they use.
fn wanted_packages(schema: &Schema) -> HashSet<String> {
    let mut wanted: HashSet<String> = HashSet::new();
    let mut open = Vec::new();
    for file in schema.pool.files() {
        if !builtin::contains(file.name()) {
            wanted.insert(file.package_name().to_owned());
            open.extend(file.messages());
            for method in file.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
                open.extend([method.input(), method.output()]);
            }
        }
    }
    let mut seen = HashSet::new();
    while let Some(message) = open.pop() {
        let known = schema.externs.covers(message.full_name());
        if known || !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        wanted.insert(message.package_name().to_owned());
        open.extend(message.child_messages());
        for field in message.fields() {
            match field.kind() {
                Kind::Message(inner) => open.push(inner),
                Kind::Enum(inner) if !schema.externs.covers(inner.full_name()) => {
                    wanted.insert(inner.package_name().to_owned());
                }
                _ => {}
            }
        }
    }
    wanted
}

/// Every type that exists already, with its path.
fn extern_types(schema: &Schema) -> Vec<(String, String)> {
    let messages = schema.pool.all_messages().map(|message| message.full_name().to_owned());
    let enums = schema.pool.all_enums().map(|found| found.full_name().to_owned());
    let names = messages.chain(enums);
    names.filter_map(|name| Some((format!(".{name}"), schema.externs.known(&name)?))).collect()
}

/// One file as prost-build shall see it.
fn request(file: &FileDescriptor, schema: &Schema, comments: &mut Vec<Vec<String>>) -> FileDescriptorProto {
    let mut proto = file.file_descriptor_proto().clone();
    proto.service.clear();
    // prost-build tells an empty package from none, and finds no messages in it.
    proto.package = proto.package.filter(|package| !package.is_empty());
    for message in &mut proto.message_type {
        hide_derives(message, file.package_name(), schema);
    }
    let mut numbered = Numbered { file, schema, comments, locations: Vec::new() };
    for (index, message) in proto.message_type.iter().enumerate() {
        numbered.message(&mut vec![4, number(index)], message);
    }
    for (index, found) in proto.enum_type.iter().enumerate() {
        numbered.enumeration(&mut vec![5, number(index)], found);
    }
    let location = numbered.locations;
    proto.source_code_info = Some(SourceCodeInfo { location });
    proto
}

/// Types that exist already may lack `Copy`, `Eq` and `Hash`, so messages that contain one do not
/// derive them: prost-build concludes that from a repeated field of floats.
fn hide_derives(message: &mut DescriptorProto, package: &str, schema: &Schema) {
    let name = if package.is_empty() { message.name().to_owned() } else { format!("{package}.{}", message.name()) };
    if package != "google.protobuf" && schema.externs.known(&name).is_some() {
        message.field.push(FieldDescriptorProto {
            name: Some("derives".to_owned()),
            label: Some(field_descriptor_proto::Label::Repeated.into()),
            r#type: Some(field_descriptor_proto::Type::Double.into()),
            ..FieldDescriptorProto::default()
        });
        for nested in &mut message.nested_type {
            hide_derives(nested, &name, schema);
        }
    }
}

/// Writes a location with a number for everything that prost-build looks up.
struct Numbered<'a> {
    file: &'a FileDescriptor,
    schema: &'a Schema,
    comments: &'a mut Vec<Vec<String>>,
    locations: Vec<Location>,
}

impl Numbered<'_> {
    fn message(&mut self, path: &mut Vec<i32>, message: &DescriptorProto) {
        self.comment(path);
        self.each(path, 2, message.field.len());
        self.each(path, 8, message.oneof_decl.len());
        for (index, nested) in message.nested_type.iter().enumerate() {
            path.extend([3, number(index)]);
            self.message(path, nested);
            path.truncate(path.len() - 2);
        }
        for (index, found) in message.enum_type.iter().enumerate() {
            path.extend([4, number(index)]);
            self.enumeration(path, found);
            path.truncate(path.len() - 2);
        }
    }

    fn enumeration(&mut self, path: &mut Vec<i32>, found: &EnumDescriptorProto) {
        self.comment(path);
        self.each(path, 2, found.value.len());
    }

    fn each(&mut self, path: &mut Vec<i32>, field: i32, count: usize) {
        for index in 0..count {
            path.extend([field, number(index)]);
            self.comment(path);
            path.truncate(path.len() - 2);
        }
    }

    fn comment(&mut self, path: &[i32]) {
        let text = self.schema.places.comment(self.file.name(), path);
        let lines = docs::lines(text);
        let placeholder = (!lines.is_empty()).then(|| {
            self.comments.push(lines);
            let sign = PLACEHOLDER.trim_start_matches('/');
            format!("{sign}{}", self.comments.len() - 1)
        });
        self.locations.push(Location { path: path.to_vec(), leading_comments: placeholder, ..Location::default() });
    }
}

/// Puts the comments where their numbers are.
fn with_comments(source: &str, comments: &[Vec<String>]) -> String {
    let mut out = String::with_capacity(source.len());
    for line in source.lines() {
        let number = line.trim_start().strip_prefix(PLACEHOLDER);
        let comment = number.and_then(|number| comments.get(number.parse::<usize>().ok()?));
        match comment {
            Some(lines) => {
                for text in lines {
                    out.push_str("/// ");
                    out.push_str(text);
                    out.push('\n');
                }
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
