//! Where in the files a descriptor was written, and what was written above it.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};
use prost_types::FileDescriptorProto;
use prost_types::source_code_info::Location;

use crate::error::Problem;
use crate::source::Sources;

/// The place and the comment of everything in a pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    files: HashMap<String, HashMap<Vec<i32>, Place>>,
}

#[derive(Debug, Clone)]
struct Place {
    line: u32,
    column: u32,
    comment: String,
}

impl Places {
    pub(crate) fn new(pool: &DescriptorPool) -> Self {
        let files = pool.files().map(|file| {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            let locations = info.map_or(&[][..], |info| &info.location);
            // Of several locations with one path the first counts: an extend block repeats them.
            let mut places = HashMap::with_capacity(locations.len());
            for location in locations {
                places.entry(location.path.clone()).or_insert_with(|| Place::new(location));
            }
            (file.name().to_owned(), places)
        });
        Self { files: files.collect() }
    }

    /// The comment above the thing at `path`, and the one behind it.
    pub(crate) fn comment(&self, file: &str, path: &[i32]) -> &str {
        self.find(file, path).map_or("", |place| &place.comment)
    }

    /// Line and column from 1: of the path, or of the nearest thing around it that has a place.
    fn position(&self, file: &str, mut path: &[i32]) -> (u32, u32) {
        loop {
            if let Some(place) = self.find(file, path) {
                return (place.line, place.column);
            }
            match path {
                [] => return (0, 0),
                [around @ .., _] => path = around,
            }
        }
    }

    fn find(&self, file: &str, path: &[i32]) -> Option<&Place> {
        self.files.get(file)?.get(path)
    }
}

/// Line and column from 1 of the path in a file that is in no pool.
pub(crate) fn position(file: &FileDescriptorProto, path: &[i32]) -> (u32, u32) {
    let mut locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations.find(|location| location.path == path).map_or((0, 0), line_and_column)
}

fn line_and_column(location: &Location) -> (u32, u32) {
    let one_based = |at: usize| {
        let number = location.span.get(at).copied().unwrap_or(0);
        u32::try_from(number).unwrap_or(0).saturating_add(1)
    };
    (one_based(0), one_based(1))
}

impl Place {
    fn new(location: &Location) -> Self {
        let leading = location.leading_comments();
        let comment = match location.trailing_comments() {
            "" => leading.to_owned(),
            trailing if leading.trim().is_empty() => trailing.to_owned(),
            trailing => format!("{leading}\n{trailing}"),
        };
        let (line, column) = line_and_column(location);
        Self { line, column, comment }
    }
}

/// Collects problems with their places.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) places: &'a Places,
    pub(crate) problems: Vec<Problem>,
    /// Whether every file compiled; else what no file has may be in one that did not.
    pub(crate) whole: bool,
}

impl Report<'_> {
    /// Adds a problem of what stands at `path` in the file.
    pub(crate) fn add(&mut self, file: &FileDescriptor, path: &[i32], rule: &'static str, message: impl Into<String>) {
        let (line, column) = self.places.position(file.name(), path);
        self.problems.push(Problem {
            path: self.sources.path_of(file.name()),
            line,
            column,
            rule,
            message: message.into(),
        });
    }

    /// `path:line:col` of what stands at `path`, to mention it in a message.
    pub(crate) fn place(&self, file: &FileDescriptor, path: &[i32]) -> String {
        let (line, column) = self.places.position(file.name(), path);
        let file = self.sources.path_of(file.name());
        format!("{}:{line}:{column}", file.display())
    }
}

/// Something that an option declares, and where.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub(crate) item: T,
    pub(crate) file: FileDescriptor,
    pub(crate) path: Vec<i32>,
}

impl<T> Placed<T> {
    /// Adds a problem of it.
    pub(crate) fn refuse(&self, rule: &'static str, message: impl Into<String>, report: &mut Report<'_>) {
        report.add(&self.file, &self.path, rule, message);
    }

    /// `path:line:col` of it.
    pub(crate) fn place(&self, report: &Report<'_>) -> String {
        report.place(&self.file, &self.path)
    }
}
