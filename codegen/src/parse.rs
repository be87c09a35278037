//! From text to descriptors: runs protox and says every problem it finds, with its place.

use std::collections::{HashSet, VecDeque};
use std::path::Path;

use miette::Diagnostic;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use protox::Compiler;
use protox::file::FileResolver as _;

use crate::builtin;
use crate::error::{Error, Problem};
use crate::place;
use crate::screen;
use crate::source::{self, Sources};

/// Field number of the imports in a `FileDescriptorProto`.
const IMPORT: i32 = 3;

/// Compiles every source; what could be compiled is in the pool even when others have problems.
pub(crate) fn parse(sources: &Sources) -> (DescriptorPool, Vec<Problem>) {
    let mut compiler = Compiler::with_file_resolver(sources.resolver());
    compiler.include_imports(true).include_source_info(true);
    let mut problems = Vec::new();
    let resolver = sources.resolver();
    let mut open: VecDeque<String> = sources.files.iter().map(|source| source.name.clone()).collect();
    let mut seen: HashSet<String> = open.iter().cloned().collect();
    while let Some(name) = open.pop_front() {
        let Err(error) = compiler.open_file(&name) else {
            continue;
        };
        explain(&error, &name, sources, &mut problems);
        // protox stops at the first import that fails, and others may too.
        let file = resolver.open_file(&name).map(|file| file.file_descriptor_proto().clone()).unwrap_or_default();
        for (index, import) in (0..).zip(&file.dependency) {
            match resolver.open_file(import) {
                Err(error) if error.is_file_not_found() => problems.push(not_found(&file, index, import, sources)),
                _ if seen.insert(import.clone()) => open.push_back(import.clone()),
                _ => {}
            }
        }
    }
    (compiler.descriptor_pool(), problems)
}

/// Reads descriptors that another compiler made.
pub(crate) fn decode(bytes: &[u8]) -> Result<DescriptorPool, Error> {
    let refused = |file: &str, message: String| {
        let path = Path::new(if file.is_empty() { "descriptors" } else { file });
        Error::refused(vec![Problem::of_file(path, "DESCRIPTOR_SHAPE", message)])
    };
    let set = FileDescriptorSet::decode(bytes).map_err(|error| refused("", error.to_string()))?;
    for file in &set.file {
        if let Some(message) = screen::refuse(file) {
            return Err(refused(file.name(), message.to_owned()));
        }
    }
    DescriptorPool::decode(bytes).map_err(|error| refused(error.file().unwrap_or(""), error.to_string()))
}

/// An import of a file that is nowhere.
fn not_found(file: &FileDescriptorProto, index: i32, import: &str, sources: &Sources) -> Problem {
    let instead = match similar(import, sources) {
        Some(known) => format!("write `import \"{known}\";`"),
        None => "write its path below an include root, or add its root to the includes".into(),
    };
    let (line, column) = place::position(file, &[IMPORT, index]);
    Problem {
        path: sources.path_of(file.name()),
        line,
        column,
        rule: "IMPORT_FOUND",
        message: format!("import '{import}' not found; {instead}"),
    }
}

fn explain(error: &protox::Error, opened: &str, sources: &Sources, problems: &mut Vec<Problem>) {
    if error.is_file_not_found() && error.file().is_some() {
        return; // an import, which is told with the others of its file
    }
    let name = error.file().unwrap_or(opened);
    let path = sources.path_of(name);
    let text = source::read(&path).unwrap_or_default();
    let related = error.related().into_iter().flatten();
    for diagnostic in std::iter::once(error as &dyn Diagnostic).chain(related) {
        let mut problem = Problem::of_file(&path, "COMPILE", diagnostic.to_string());
        let offset = offset(diagnostic);
        let at = offset.and_then(|offset| text.get(offset..)).unwrap_or("");
        classify(&mut problem, error, diagnostic, at);
        if let Some(offset) = offset.or_else(|| import_offset(error, &text)) {
            (problem.line, problem.column) = line_and_column(&text, offset);
        }
        problems.push(problem);
    }
}

/// Gives the problem the rule it breaks, and the words that help.
fn classify(problem: &mut Problem, error: &protox::Error, diagnostic: &dyn Diagnostic, at: &str) {
    let message = &problem.message;
    let help = diagnostic.help().map(|help| help.to_string());
    if at.starts_with("edition") && error.is_parse() {
        problem.rule = "SYNTAX_PROTO3";
        problem.message = "editions are not supported; write `syntax = \"proto3\";`".into();
        return;
    }
    let mut instead = help;
    let undefined = quoted(message).filter(|_| message.ends_with("is not defined"));
    if error.is_parse() {
        problem.rule = "SYNTAX";
    } else if message.starts_with("import cycle") {
        problem.rule = "IMPORT_CYCLE";
        instead = Some("move what both need to a third file".into());
    } else if let Some(import) = undefined.and_then(builtin::file_of) {
        instead = Some(format!("write `import \"{import}\";`"));
    } else if message.contains("option") || message.starts_with("expected a value of type") {
        problem.rule = "OPTION_TYPE";
        instead = diagnostic.diagnostic_source().map(|source| source.to_string());
    }
    if let Some(instead) = instead {
        problem.message = format!("{}; {instead}", problem.message);
    }
}

/// The label that shows the culprit rather than what it clashes with.
fn offset(diagnostic: &dyn Diagnostic) -> Option<usize> {
    let labels: Vec<_> = diagnostic.labels()?.collect();
    let found =
        labels.iter().find(|label| label.label().is_some_and(|text| text.contains("found"))).or(labels.last())?;
    Some(found.offset())
}

/// protox gives no place for an import cycle: the import of the file that closes it.
fn import_offset(error: &protox::Error, text: &str) -> Option<usize> {
    let message = error.to_string();
    let first = message.strip_prefix("import cycle detected: ")?;
    let next = first.split(" -> ").nth(1)?;
    let written = ['"', '\''].map(|quote| text.find(&format!("{quote}{next}{quote}")));
    written.into_iter().flatten().min()
}

fn quoted(message: &str) -> Option<&str> {
    message.split('\'').nth(1)
}

/// A known file with the same last part.
fn similar<'a>(import: &str, sources: &'a Sources) -> Option<&'a str> {
    let ours = sources.files.iter().map(|source| source.name.as_str());
    let builtin = builtin::names().map(|name| -> &'a str { name });
    let last = Path::new(import).file_name();
    ours.chain(builtin).find(|name| Path::new(name).file_name() == last)
}

fn line_and_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before[start..].chars().count() + 1;
    (to_u32(line), to_u32(column))
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
