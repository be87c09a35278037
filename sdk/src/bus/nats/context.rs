//! [`ContextFile`]: what the `nats` CLI knows of a server under a name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{env::Lookup, options::invalid_config};
use crate::Result;

/// What the `nats` CLI knows of a server under a name: `~/.config/nats/context/<name>.json`.
pub(super) struct ContextFile {
    name: String,
    fields: Value,
}

impl ContextFile {
    pub(super) fn load(name: &str, lookup: Lookup<'_>) -> Result<Self> {
        if name.contains(['/', '\\']) || name.contains("..") {
            return Err(invalid_config(format!("NATS_CONTEXT={name}: write the name of a context, not a path")));
        }
        let home = || lookup("HOME").map(|home| Path::new(&home).join(".config"));
        let Some(config) = lookup("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home) else {
            return Err(invalid_config(
                "NATS_CONTEXT is set, but neither XDG_CONFIG_HOME nor HOME says where contexts are",
            ));
        };
        let folder = config.join("nats").join("context");
        let path = folder.join(format!("{name}.json"));
        let text = fs::read_to_string(&path).map_err(|error| {
            let path = path.display();
            invalid_config(format!("NATS_CONTEXT={name}: cannot read {path}: {error}; there are: {}", names(&folder)))
        })?;
        // The parser's error is dropped but for its place, because it may quote a secret.
        let fields = serde_json::from_str(&text).map_err(|error| {
            let (path, line) = (path.display(), error.line());
            invalid_config(format!("NATS_CONTEXT={name}: {path} is not JSON, see line {line}"))
        })?;
        Ok(Self { name: name.to_owned(), fields })
    }

    pub(super) fn field(&self, name: &str) -> Option<String> {
        self.fields.get(name)?.as_str().map(str::to_owned)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.fields.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// What an error calls this field.
    pub(super) fn describe(&self, field: &str) -> String {
        format!("`{field}` of the context {}", self.name)
    }
}

fn names(folder: &Path) -> String {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let contexts = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut names: Vec<_> =
        contexts.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
