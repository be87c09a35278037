//! The rules a schema must keep, and the model of one that does.
//!
//! [`structure`] comes first and looks at shape alone, so that everything after it can rely on
//! identifiers being identifiers. Then each rule reports all it finds.

mod limits;
mod names;
mod package;
mod service;
mod structure;
mod types;

pub(crate) use self::package::Version;

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, FileDescriptor, Syntax};

use crate::builtin;
use crate::error::{Error, Problem};
use crate::externs::Externs;
use crate::model::{Package, Schema};
use crate::place::{Places, Report};
use crate::source::Sources;

/// Checks every file of the pool; `problems` are those that parsing found already.
pub(crate) fn check(
    pool: DescriptorPool,
    sources: Sources,
    externs: Externs,
    problems: Vec<Problem>,
) -> Result<Schema, Error> {
    let places = Places::new(&pool);
    let mut report = Report { sources: &sources, places: &places, problems };
    let before = report.problems.len();
    for file in pool.files() {
        structure::check(&file, &mut report);
    }
    if report.problems.len() > before {
        return Err(Error::refused(report.problems));
    }
    limits::check(&pool, &mut report);

    let packages = packages(&pool, &externs, &mut report);
    if report.problems.is_empty() {
        Ok(Schema { packages, pool, places, externs, sources })
    } else {
        Err(Error::refused(report.problems))
    }
}

fn packages(pool: &DescriptorPool, externs: &Externs, report: &mut Report<'_>) -> Vec<Package> {
    let mut by_name: BTreeMap<String, Vec<FileDescriptor>> = BTreeMap::new();
    for file in pool.files() {
        if !builtin::contains(file.name()) {
            proto3(&file, report);
            let files = by_name.entry(file.package_name().to_owned()).or_default();
            files.push(file);
        }
    }
    let mut names = names::declare(pool, externs, report);
    let mut subjects = service::Subjects::default();
    let mut packages = Vec::with_capacity(by_name.len());
    for (name, mut files) in by_name {
        files.sort_by(|a, b| a.name().cmp(b.name()));
        package::check(&name, &files, report);
        let service = files.iter().flat_map(FileDescriptor::services).next();
        packages.push(Package {
            service: service.map(|service| {
                let rust = names.choose(&service);
                service::build(&service, rust, externs, &mut subjects, report)
            }),
            messages: files.iter().flat_map(types::messages).collect(),
            enums: files.iter().flat_map(types::enums).collect(),
            files: files.iter().map(|file| file.name().to_owned()).collect(),
            name,
        });
    }
    packages
}

fn proto3(file: &FileDescriptor, report: &mut Report<'_>) {
    if file.syntax() != Syntax::Proto3 {
        let message = "only proto3 is supported; write `syntax = \"proto3\";`";
        report.add(file, &[12], "SYNTAX_PROTO3", message);
    }
}
