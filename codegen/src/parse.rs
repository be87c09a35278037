//! From text to descriptors: runs protox and says every problem it finds, with its place.

use std::path::Path;

use miette::Diagnostic;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;
use protox::Compiler;

use crate::builtin;
use crate::error::{Error, Problem};
use crate::screen;
use crate::source::{self, Sources};

/// Compiles every source; what could be compiled is in the pool even when others have problems.
pub(crate) fn parse(sources: &Sources) -> (DescriptorPool, Vec<Problem>) {
    let mut compiler = Compiler::with_file_resolver(sources.resolver());
    compiler.include_imports(true).include_source_info(true);
    let mut problems = Vec::new();
    for source in &sources.files {
        if let Err(error) = compiler.open_file(&source.name) {
            explain(&error, &source.name, sources, &mut problems);
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

fn explain(error: &protox::Error, opened: &str, sources: &Sources, problems: &mut Vec<Problem>) {
    let name = error.file().unwrap_or(opened);
    let path = sources.path_of(name);
    let text = source::read(&path).unwrap_or_default();
    let related = error.related().into_iter().flatten();
    for diagnostic in std::iter::once(error as &dyn Diagnostic).chain(related) {
        let mut problem = Problem::of_file(&path, "COMPILE", diagnostic.to_string());
        let offset = offset(diagnostic);
        let at = offset.and_then(|offset| text.get(offset..)).unwrap_or("");
        classify(&mut problem, error, diagnostic, at, sources);
        if let Some(offset) = offset.or_else(|| import_offset(error, &text)) {
            (problem.line, problem.column) = line_and_column(&text, offset);
        }
        problems.push(problem);
    }
}

/// Gives the problem the rule it breaks, and the words that help.
fn classify(problem: &mut Problem, error: &protox::Error, diagnostic: &dyn Diagnostic, at: &str, sources: &Sources) {
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
    } else if let Some(import) = quoted(message).filter(|_| error.is_file_not_found()) {
        problem.rule = "IMPORT_FOUND";
        instead = Some(match similar(import, sources) {
            Some(known) => format!("write `import \"{known}\";`"),
            None => "write its path below an include root, or add its root to the includes".into(),
        });
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
