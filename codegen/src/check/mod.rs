//! The rules a schema must keep, and the model of one that does.
//!
//! [`structure`] comes first and looks at shape alone, so that everything after it can rely on
//! identifiers being identifiers. Then each rule reports all it finds.

mod consumer;
mod event;
mod field;
mod limits;
mod names;
mod owned;
mod package;
mod service;
mod setting;
mod stream;
mod structure;
mod template;
mod token;
mod types;

pub(crate) use self::package::Version;

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, FileDescriptor, Syntax};

use crate::builtin;
use crate::error::{Error, Problem};
use crate::externs::Externs;
use crate::model::{Package, PackageItems, Schema};
use crate::naming;
use crate::place::{Placed, Places, Report};
use crate::source::Sources;

/// Checks every file of the pool; `problems` are those that parsing found already.
pub(crate) fn check(
    pool: DescriptorPool,
    sources: Sources,
    externs: Externs,
    problems: Vec<Problem>,
) -> Result<Schema, Error> {
    let places = Places::new(&pool);
    let mut report = Report { sources: &sources, places: &places, whole: problems.is_empty(), problems };
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
            types::exist(&file, externs, report);
            let files = by_name.entry(file.package_name().to_owned()).or_default();
            files.push(file);
        }
    }
    for files in by_name.values_mut() {
        files.sort_by(|a, b| a.name().cmp(b.name()));
    }
    let mut names = names::declare(pool, externs, report);
    let mut subjects = service::Subjects::default();
    let mut packages = Vec::with_capacity(by_name.len());
    for (name, files) in &by_name {
        package::check(name, files, report);
        let service = files.iter().flat_map(FileDescriptor::services).next();
        packages.push(Package {
            service: service.map(|service| {
                let rust = names.of_service(&service);
                service::build(&service, rust, externs, &mut subjects, report)
            }),
            messages: files.iter().flat_map(types::messages).collect(),
            enums: files.iter().flat_map(types::enums).collect(),
            events: Vec::new(),
            streams: Vec::new(),
            consumers: Vec::new(),
            rust: PackageItems::default(),
            files: files.iter().map(|file| file.name().to_owned()).collect(),
            name: name.clone(),
        });
    }
    let files: Vec<FileDescriptor> = by_name.into_values().flatten().collect();
    messaging(&mut packages, &files, externs, &mut names, report);
    packages
}

/// Adds events, streams and consumers, which concern all packages at once.
fn messaging(
    packages: &mut [Package],
    files: &[FileDescriptor],
    externs: &Externs,
    names: &mut names::Names,
    report: &mut Report<'_>,
) {
    let streams = stream::build(files, report);
    let consumers = consumer::build(files, report);
    let events = event::build(files, externs, report);
    let owned = owned::all(packages.iter().filter_map(|package| package.service.as_ref()));
    let known = stream::Streams::new(&streams);
    stream::check(&known, &owned, report);
    consumer::check(&consumers, &known, report);
    event::check(&events, &known, &owned, report);
    for package in packages {
        package.streams = in_package(&streams, &package.name);
        package.consumers = in_package(&consumers, &package.name);
        package.events = in_package(&events, &package.name);
        for event in &mut package.events {
            event.rust.filter = names.of_filter(&package.name, event);
        }
        package.rust = names.of_package(package);
        let mut constants = names::Constants::default();
        for stream in &mut package.streams {
            stream.constant = constants.choose(naming::constant(&stream.name), naming::constant(&stream.name));
        }
        let mut constants = names::Constants::default();
        for consumer in &mut package.consumers {
            let full = format!("{}_{}", consumer.stream, consumer.name);
            consumer.constant = constants.choose(naming::constant(&consumer.name), naming::constant(&full));
        }
    }
}

fn in_package<T: Clone>(all: &[Placed<T>], package: &str) -> Vec<T> {
    let own = all.iter().filter(|placed| placed.file.package_name() == package);
    own.map(|placed| placed.item.clone()).collect()
}

fn proto3(file: &FileDescriptor, report: &mut Report<'_>) {
    if file.syntax() != Syntax::Proto3 {
        let message = "only proto3 is supported; write `syntax = \"proto3\";`";
        report.add(file, &[12], "SYNTAX_PROTO3", message);
    }
}
