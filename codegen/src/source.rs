//! Which `.proto` files to compile, and the names they import one another by.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use protox::file::{File, FileResolver, GoogleFileResolver};

use crate::builtin;
use crate::error::{Error, Problem};

/// One file to compile.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// What an `import` calls it: `ai/llm/v1/llm.proto`.
    pub(crate) name: String,
    /// Where it is: `proto/ai/llm/v1/llm.proto`.
    pub(crate) path: PathBuf,
}

/// The files to compile and where imports are looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    pub(crate) files: Vec<Source>,
    pub(crate) roots: Vec<PathBuf>,
}

impl Sources {
    /// Finds the files behind `inputs`, each a file or a directory.
    pub(crate) fn find(inputs: &[PathBuf], includes: &[PathBuf]) -> Result<Self, Error> {
        let mut sources = Self { files: Vec::new(), roots: includes.to_vec() };
        let mut seen = HashSet::new();
        let mut named: HashMap<String, PathBuf> = HashMap::new();
        let mut problems = Vec::new();
        for input in inputs {
            let mut found = Vec::new();
            let root = if input.is_dir() {
                collect(input, &mut HashSet::new(), &mut found)?;
                input.clone()
            } else if input.is_file() {
                found.push(input.clone());
                root_of(input, includes)
            } else {
                problems.push(Problem::of_file(
                    input,
                    "FILE_FOUND",
                    "no such file or directory; name a .proto file or a directory of them",
                ));
                continue;
            };
            if found.is_empty() {
                problems.push(Problem::of_file(input, "FILE_FOUND", "no .proto file in this directory"));
            }
            for path in found {
                let canonical = fs::canonicalize(&path).map_err(|e| Error::io(&path, e))?;
                if !seen.insert(canonical) {
                    continue;
                }
                let name = name_below(&root, &path);
                // Copies of a built-in file make no difference, however many there are.
                match named.get(&name).filter(|_| !builtin::contains(&name)) {
                    Some(first) => problems.push(same_name(&name, first, &path)),
                    None => {
                        named.insert(name.clone(), path.clone());
                        sources.files.push(Source { name, path });
                    }
                }
            }
            if !sources.roots.contains(&root) {
                sources.roots.push(root);
            }
        }
        if !problems.is_empty() {
            return Err(Error::refused(problems));
        }
        sources.files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(sources)
    }

    /// Where the file that is imported as `name` is; the name itself when it is nowhere.
    ///
    /// The files of the inputs come first, which have one name each, then the roots in their order.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        match self.files.iter().find(|source| source.name == name) {
            Some(source) => source.path.clone(),
            None => locate(&self.roots, name).unwrap_or_else(|| PathBuf::from(name)),
        }
    }

    /// Opens imports: the built-in files first, so that a copy on disk makes no difference.
    pub(crate) fn resolver(&self) -> Resolver {
        Resolver { sources: self.clone(), google: GoogleFileResolver::new() }
    }
}

/// Finds files for protox.
pub(crate) struct Resolver {
    sources: Sources,
    google: GoogleFileResolver,
}

impl FileResolver for Resolver {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if let Some(text) = builtin::text(name) {
            return File::from_source(name, text);
        }
        if builtin::contains(name) {
            return self.google.open_file(name);
        }
        let path = self.sources.path_of(name);
        if path.is_file() && !escapes(name) { open(name, &path) } else { Err(protox::Error::file_not_found(name)) }
    }
}

/// The text of a file without its byte order mark, which protoc skips, too: no place counts it.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let text = fs::read_to_string(path)?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn open(name: &str, path: &Path) -> Result<File, protox::Error> {
    match read(path) {
        Ok(text) => File::from_source(name, &text),
        // It says what is wrong with a file that has no text.
        Err(_) => File::open(name, path),
    }
}

fn locate(roots: &[PathBuf], name: &str) -> Option<PathBuf> {
    if escapes(name) {
        return None;
    }
    let mut paths = roots.iter().map(|root| join(root, name));
    paths.find(|path| path.is_file())
}

/// Whether a name leads out of the directory it is joined to.
fn escapes(name: &str) -> bool {
    let inside = |part| matches!(part, Component::Normal(_));
    !Path::new(name).components().all(inside)
}

fn join(root: &Path, name: &str) -> PathBuf {
    if root == Path::new(".") { PathBuf::from(name) } else { root.join(name) }
}

/// Two files that an import could not tell apart.
fn same_name(name: &str, first: &Path, second: &Path) -> Problem {
    let parent: PathBuf =
        first.components().zip(second.components()).map_while(|(a, b)| (a == b).then_some(a)).collect();
    let parent = match parent.as_os_str().is_empty() {
        false => format!("`{}`", parent.display()),
        true => "the directory that both are in".to_owned(),
    };
    let message = format!(
        "`{name}` is the import name of `{}` too; compile {parent} in place of both, or give one of them another name",
        first.display(),
    );
    Problem::of_file(second, "IMPORT_NAME_UNIQUE", message)
}

/// Adds the `.proto` files of a directory; `seen` has the directories it was in, since links may lead back.
fn collect(directory: &Path, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let io = |e| Error::io(directory, e);
    if !seen.insert(fs::canonicalize(directory).map_err(io)?) {
        return Ok(());
    }
    let mut entries = fs::read_dir(directory)
        .map_err(io)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(io)?;
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            collect(&path, seen, found)?;
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

/// The include root of a single file: an include directory above it, else what its package says.
fn root_of(path: &Path, includes: &[PathBuf]) -> PathBuf {
    if let Some(include) = includes.iter().find(|include| path.starts_with(include)) {
        return include.clone();
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    // A file that does not parse is reported when it is compiled.
    let package =
        open("", path).map(|file| file.file_descriptor_proto().package().replace('.', "/")).unwrap_or_default();
    let depth =
        if !package.is_empty() && parent.ends_with(&package) { Path::new(&package).components().count() } else { 0 };
    let root = parent.ancestors().nth(depth).unwrap_or(parent);
    if root.as_os_str().is_empty() { PathBuf::from(".") } else { root.to_owned() }
}

fn name_below(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts = below.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_string_lossy()),
        _ => None,
    });
    parts.collect::<Vec<_>>().join("/")
}
