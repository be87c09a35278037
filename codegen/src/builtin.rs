//! The schemas every `.proto` may import without having them on disk.

use prost_reflect::{DescriptorPool, FileDescriptor};

/// Name and text; `google/protobuf/*` comes with protox.
const FILES: &[(&str, &str)] = &[
    ("google/api/annotations.proto", include_str!("../protos/google/api/annotations.proto")),
    ("google/api/field_behavior.proto", include_str!("../protos/google/api/field_behavior.proto")),
    ("google/api/http.proto", include_str!("../protos/google/api/http.proto")),
    ("google/api/httpbody.proto", include_str!("../protos/google/api/httpbody.proto")),
    ("google/rpc/code.proto", include_str!("../protos/google/rpc/code.proto")),
    ("google/rpc/error_details.proto", include_str!("../protos/google/rpc/error_details.proto")),
    ("google/rpc/status.proto", include_str!("../protos/google/rpc/status.proto")),
    ("subwire/v1/options.proto", include_str!("../protos/subwire/v1/options.proto")),
];

/// What protox resolves by itself.
const GOOGLE_PROTOBUF: &[&str] = &[
    "google/protobuf/any.proto",
    "google/protobuf/api.proto",
    "google/protobuf/compiler/plugin.proto",
    "google/protobuf/descriptor.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/empty.proto",
    "google/protobuf/field_mask.proto",
    "google/protobuf/source_context.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
    "google/protobuf/type.proto",
    "google/protobuf/wrappers.proto",
];

/// The text of a built-in file.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    FILES.iter().find_map(|(file, text)| (*file == name).then_some(*text))
}

/// The name of every file that may be imported from nowhere.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let ours = FILES.iter().map(|(name, _)| *name);
    ours.chain(GOOGLE_PROTOBUF.iter().copied())
}

/// The built-in file that defines a message, an enum or an option.
pub(crate) fn file_of(full_name: &str) -> Option<String> {
    let google = DescriptorPool::global();
    let message = google.get_message_by_name(full_name).map(|found| found.parent_file());
    let file = message.or_else(|| google.get_enum_by_name(full_name).map(|found| found.parent_file()));
    let ours = || {
        let (package, name) = full_name.rsplit_once('.')?;
        FILES.iter().find(|(_, text)| {
            text.contains(&format!("package {package};")) && text.split_whitespace().any(|word| word == name)
        })
    };
    file.map(|file| file.name().to_owned()).or_else(|| Some(ours()?.0.to_owned()))
}

/// Whether the file comes with this crate or with protox, so that no rule of style applies to it.
pub(crate) fn contains(name: &str) -> bool {
    names().any(|file| file == name)
}

/// Whether the names of a file's types need no check: of those that are generated no two are alike.
pub(crate) fn is_of_runtime(file: &FileDescriptor) -> bool {
    let package = file.package_name();
    let own = matches!(package, "google.protobuf" | "google.rpc") || package.starts_with("google.protobuf.");
    own && contains(file.name())
}
