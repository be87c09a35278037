//! Types that exist in Rust already, and the path from a module to any type.

use crate::naming;

/// Where the runtime has the types of `google.protobuf`.
pub(crate) const PROST_TYPES: &str = "::subwire::__codegen::prost_types";
/// Where the runtime has prost.
pub(crate) const PROST: &str = "::subwire::__codegen::prost";
/// Where the runtime has the types of `google.rpc`.
const DETAILS: &str = "::subwire::details";

/// Well-known types that are plain Rust ones; the same list as in prost-build.
const PLAIN: &[(&str, &str)] = &[
    (".google.protobuf.BoolValue", "bool"),
    (".google.protobuf.BytesValue", "::subwire::__codegen::prost::alloc::vec::Vec<u8>"),
    (".google.protobuf.DoubleValue", "f64"),
    (".google.protobuf.Empty", "()"),
    (".google.protobuf.FloatValue", "f32"),
    (".google.protobuf.Int32Value", "i32"),
    (".google.protobuf.Int64Value", "i64"),
    (".google.protobuf.StringValue", "::subwire::__codegen::prost::alloc::string::String"),
    (".google.protobuf.UInt32Value", "u32"),
    (".google.protobuf.UInt64Value", "u64"),
];

/// All that `prost_types` and the runtime have besides: neither has whole packages.
///
/// Not so `google.rpc.Code`: the runtime's `Code` is more than a protobuf enum.
const RUNTIME: &[&str] = &[
    ".google.protobuf.Any",
    ".google.protobuf.Api",
    ".google.protobuf.DescriptorProto",
    ".google.protobuf.DescriptorProto.ExtensionRange",
    ".google.protobuf.DescriptorProto.ReservedRange",
    ".google.protobuf.Duration",
    ".google.protobuf.Enum",
    ".google.protobuf.EnumDescriptorProto",
    ".google.protobuf.EnumDescriptorProto.EnumReservedRange",
    ".google.protobuf.EnumOptions",
    ".google.protobuf.EnumValue",
    ".google.protobuf.EnumValueDescriptorProto",
    ".google.protobuf.EnumValueOptions",
    ".google.protobuf.ExtensionRangeOptions",
    ".google.protobuf.Field",
    ".google.protobuf.Field.Cardinality",
    ".google.protobuf.Field.Kind",
    ".google.protobuf.FieldDescriptorProto",
    ".google.protobuf.FieldDescriptorProto.Label",
    ".google.protobuf.FieldDescriptorProto.Type",
    ".google.protobuf.FieldMask",
    ".google.protobuf.FieldOptions",
    ".google.protobuf.FieldOptions.CType",
    ".google.protobuf.FieldOptions.JSType",
    ".google.protobuf.FileDescriptorProto",
    ".google.protobuf.FileDescriptorSet",
    ".google.protobuf.FileOptions",
    ".google.protobuf.FileOptions.OptimizeMode",
    ".google.protobuf.GeneratedCodeInfo",
    ".google.protobuf.GeneratedCodeInfo.Annotation",
    ".google.protobuf.ListValue",
    ".google.protobuf.MessageOptions",
    ".google.protobuf.Method",
    ".google.protobuf.MethodDescriptorProto",
    ".google.protobuf.MethodOptions",
    ".google.protobuf.MethodOptions.IdempotencyLevel",
    ".google.protobuf.Mixin",
    ".google.protobuf.NullValue",
    ".google.protobuf.OneofDescriptorProto",
    ".google.protobuf.OneofOptions",
    ".google.protobuf.Option",
    ".google.protobuf.ServiceDescriptorProto",
    ".google.protobuf.ServiceOptions",
    ".google.protobuf.SourceCodeInfo",
    ".google.protobuf.SourceCodeInfo.Location",
    ".google.protobuf.SourceContext",
    ".google.protobuf.Struct",
    ".google.protobuf.Syntax",
    ".google.protobuf.Timestamp",
    ".google.protobuf.Type",
    ".google.protobuf.UninterpretedOption",
    ".google.protobuf.UninterpretedOption.NamePart",
    ".google.protobuf.Value",
    ".google.protobuf.compiler.CodeGeneratorRequest",
    ".google.protobuf.compiler.CodeGeneratorResponse",
    ".google.protobuf.compiler.CodeGeneratorResponse.Feature",
    ".google.protobuf.compiler.CodeGeneratorResponse.File",
    ".google.protobuf.compiler.Version",
    ".google.rpc.BadRequest",
    ".google.rpc.BadRequest.FieldViolation",
    ".google.rpc.DebugInfo",
    ".google.rpc.ErrorInfo",
    ".google.rpc.Help",
    ".google.rpc.Help.Link",
    ".google.rpc.LocalizedMessage",
    ".google.rpc.PreconditionFailure",
    ".google.rpc.PreconditionFailure.Violation",
    ".google.rpc.QuotaFailure",
    ".google.rpc.QuotaFailure.Violation",
    ".google.rpc.RequestInfo",
    ".google.rpc.ResourceInfo",
    ".google.rpc.RetryInfo",
    ".google.rpc.Status",
];

/// Proto paths with a leading dot, and the Rust path of each.
#[derive(Debug, Clone)]
pub(crate) struct Externs {
    paths: Vec<(String, String)>,
}

impl Externs {
    /// The user's paths, and those of the runtime.
    pub(crate) fn new(user: &[(String, String)]) -> Self {
        let own = [(".google.rpc".to_owned(), DETAILS.to_owned())];
        Self { paths: user.iter().cloned().chain(own).collect() }
    }

    /// The Rust path of a type that exists already, by its full name.
    pub(crate) fn known(&self, full_name: &str) -> Option<String> {
        self.find(&format!(".{full_name}"))
    }

    /// Whether nothing is generated for the type with this full name.
    pub(crate) fn covers(&self, full_name: &str) -> bool {
        self.known(full_name).is_some()
    }

    /// Whether the message with this full name is a plain type in Rust, without fields.
    pub(crate) fn is_plain(&self, full_name: &str) -> bool {
        PLAIN.iter().any(|(name, _)| name.strip_prefix('.') == Some(full_name))
    }

    /// The Rust path of a message or enum, by its full name and seen from the module of `package`.
    pub(crate) fn path_from(&self, package: &str, full_name: &str) -> String {
        if let Some(path) = self.known(full_name) {
            return path;
        }
        let mut here = package.split('.').filter(|part| !part.is_empty()).peekable();
        let mut parts: Vec<&str> = full_name.split('.').collect();
        let name = parts.pop().unwrap_or_default();
        let mut there = parts.into_iter().peekable();
        while here.peek().is_some() && here.peek() == there.peek() {
            here.next();
            there.next();
        }
        let up = here.map(|_| "super".to_owned());
        let down = there.map(naming::snake);
        let path: Vec<String> = up.chain(down).chain([naming::upper_camel(name)]).collect();
        path.join("::")
    }

    /// As prost-build resolves: the longest prefix wins, and what follows it is converted.
    fn find(&self, proto: &str) -> Option<String> {
        if let Some((_, plain)) = PLAIN.iter().find(|(name, _)| *name == proto) {
            return Some((*plain).to_owned());
        }
        if let Some(exact) = self.lookup(proto) {
            return Some(exact.to_owned());
        }
        proto.rmatch_indices('.').find_map(|(at, _)| {
            let rust = self.lookup(&proto[..at])?;
            if matches!(rust, PROST_TYPES | DETAILS) && !RUNTIME.contains(&proto) {
                return None;
            }
            let mut rest: Vec<&str> = proto[at + 1..].split('.').collect();
            let name = naming::upper_camel(rest.pop().unwrap_or_default());
            let modules = rest.into_iter().map(naming::snake);
            let path = std::iter::once(rust.to_owned()).chain(modules).chain([name]);
            Some(path.collect::<Vec<_>>().join("::"))
        })
    }

    fn lookup(&self, proto: &str) -> Option<&str> {
        if proto == ".google.protobuf" {
            return Some(PROST_TYPES);
        }
        let mut paths = self.paths.iter();
        paths.find_map(|(path, rust)| (path == proto).then_some(rust.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use syn::Item;

    use super::*;

    fn cargo(arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO")).args(arguments).output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Where the source of prost-types is.
    fn prost_types() -> PathBuf {
        // Packages of other platforms may be on the network only.
        let about = cargo(&["-vV"]);
        let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
        let metadata = cargo(&["metadata", "--format-version=1", "--offline", "--filter-platform", host]);
        let manifests = metadata.split("\"manifest_path\":\"").filter_map(|rest| rest.split('"').next());
        let is_its =
            |folder: &Path| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("prost-types"));
        let mut folders = manifests.filter_map(|manifest| Path::new(manifest).parent());
        folders.find(|folder| is_its(folder)).expect("the package").join("src")
    }

    /// The messages and enums of a source file, which `module` is made of.
    fn types(source: &Path, module: &str) -> Vec<String> {
        let code = syn::parse_file(&fs::read_to_string(source).expect("a source")).expect("code");
        let mut open: Vec<(String, Item)> = code.items.into_iter().map(|item| (module.to_owned(), item)).collect();
        let mut found = Vec::new();
        while let Some((module, item)) = open.pop() {
            match item {
                Item::Struct(item) => found.push(format!("{module}::{}", item.ident)),
                Item::Enum(item) if !is_oneof(&item) => found.push(format!("{module}::{}", item.ident)),
                Item::Mod(item) => {
                    let inner = format!("{module}::{}", item.ident);
                    let items = item.content.map(|(_, items)| items).unwrap_or_default();
                    open.extend(items.into_iter().map(|item| (inner.clone(), item)));
                }
                _ => {}
            }
        }
        found
    }

    fn is_oneof(item: &syn::ItemEnum) -> bool {
        item.attrs.iter().any(|attr| quote::quote!(#attr).to_string().contains("Oneof"))
    }

    #[test]
    fn the_runtime_has_these_types_and_no_others() {
        let prost = prost_types();
        let details = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/src/details.rs");
        let real = [
            types(&prost.join("protobuf.rs"), PROST_TYPES),
            types(&prost.join("compiler.rs"), &format!("{PROST_TYPES}::compiler")),
            types(&details, DETAILS),
        ];
        let real: BTreeSet<String> = real.into_iter().flatten().collect();
        let externs = Externs::new(&[]);
        let listed: BTreeSet<String> = RUNTIME.iter().filter_map(|name| externs.find(name)).collect();
        assert_eq!(listed, real);
    }
}
