//! Rules of packages: how one with a service is called, and that it has only one.

use prost_reflect::{FileDescriptor, ServiceDescriptor};

use crate::naming;
use crate::place::Report;

/// Field numbers on the way to places in a `FileDescriptorProto`.
const PACKAGE: i32 = 2;
const SERVICE: i32 = 6;

/// Checks one package; files without a service may have any package that is not ours.
pub(crate) fn check(name: &str, files: &[FileDescriptor], report: &mut Report<'_>) {
    if matches!(name, "subwire" | "_") {
        for file in files {
            let message = format!("`{name}.rs` is a file of the generator; write another package");
            report.add(file, &[PACKAGE], "PACKAGE_RESERVED", message);
        }
    }
    let mut first: Option<ServiceDescriptor> = None;
    for service in files.iter().flat_map(FileDescriptor::services) {
        version_suffix(name, &service, report);
        match &first {
            None => first = Some(service),
            Some(first) => one_service(first, &service, report),
        }
    }
}

fn version_suffix(name: &str, service: &ServiceDescriptor, report: &mut Report<'_>) {
    if is_versioned(name) {
        return;
    }
    let file = service.parent_file();
    let path: &[i32] = if name.is_empty() { &[SERVICE, index(service)] } else { &[PACKAGE] };
    let found = match name {
        "" => "the file has no package".to_owned(),
        name => format!("package `{name}` is not `<domain>.<name>.v<N>`"),
    };
    let instead = suggestion(name, service.name());
    let message = format!("{found}, and a service's subjects are made of it; write `package {instead};`");
    report.add(&file, path, "PACKAGE_VERSION_SUFFIX", message);
}

fn one_service(first: &ServiceDescriptor, other: &ServiceDescriptor, report: &mut Report<'_>) {
    let place = report.place(&first.parent_file(), &[SERVICE, index(first), 1]);
    let package = other.package_name();
    let version = package.rsplit('.').next().filter(|part| is_version(part));
    let domain = package.split('.').next().unwrap_or("app");
    let message = format!(
        "the package has the service `{}` already ({place}); \
         write a file of its own with `package {domain}.{}.{};`",
        first.name(),
        base_token(other.name()),
        version.unwrap_or("v1"),
    );
    let path = [SERVICE, index(other), 1];
    report.add(&other.parent_file(), &path, "SERVICE_ONE_PER_PACKAGE", message);
}

/// The place of a service in its file's descriptor.
pub(super) fn index(service: &ServiceDescriptor) -> i32 {
    service.path().last().copied().unwrap_or_default()
}

/// Whether a package is `<domain>.<name>.v<N>`.
fn is_versioned(package: &str) -> bool {
    match package.split('.').collect::<Vec<_>>()[..] {
        [domain, name, version] => is_token(domain) && is_token(name) && is_version(version),
        _ => false,
    }
}

fn is_token(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_lowercase()) && part.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
}

fn is_version(part: &str) -> bool {
    Version::parse(part).is_some()
}

/// `v1`, `v1alpha1`, `v2beta3`.
pub(crate) struct Version<'a> {
    major: &'a str,
    /// `alpha` or `beta`, and which.
    pub(crate) pre: Option<(&'a str, &'a str)>,
}

impl<'a> Version<'a> {
    pub(crate) fn parse(part: &'a str) -> Option<Self> {
        let number = part.strip_prefix('v')?;
        let digits = number.trim_start_matches(|c: char| c.is_ascii_digit());
        let (major, rest) = number.split_at(number.len() - digits.len());
        let pre = match rest {
            "" => None,
            rest => Some(["alpha", "beta"].into_iter().find_map(|stage| {
                let which = rest.strip_prefix(stage)?;
                is_number(which).then_some((stage, which))
            })?),
        };
        is_number(major).then_some(Self { major, pre })
    }

    /// The SemVer version of a service that names none: `1.0.0`, `1.0.0-alpha.1`.
    pub(crate) fn semver(&self) -> String {
        let major = self.major;
        match self.pre {
            None => format!("{major}.0.0"),
            Some((stage, which)) => format!("{major}.0.0-{stage}.{which}"),
        }
    }
}

/// A positive number without leading zeros that SemVer can hold.
fn is_number(digits: &str) -> bool {
    !digits.starts_with('0') && digits.parse::<u32>().is_ok_and(|number| number > 0)
}

/// A legal package near to what was written.
fn suggestion(package: &str, service: &str) -> String {
    let mut parts: Vec<String> = package.split('.').map(naming::token).collect();
    parts.retain(|part| is_token(part));
    let version = match parts.pop_if(|part| is_version(part)) {
        Some(version) => version,
        None => "v1".to_owned(),
    };
    if parts.is_empty() {
        parts.push("app".to_owned());
    }
    if parts.len() == 1 {
        parts.push(base_token(service));
    }
    let [.., domain, name] = &parts[..] else {
        return format!("app.service.{version}");
    };
    format!("{domain}.{name}.{version}")
}

/// `LlmService` as part of a package: `llm`.
fn base_token(service: &str) -> String {
    let base = service.strip_suffix("Service").unwrap_or(service);
    let token = naming::token(base);
    if is_token(&token) { token } else { "service".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_domain_name_version_is_a_service_package() {
        for good in ["ai.llm.v1", "a.b_2.v12", "ai.llm.v1alpha1", "ai.llm.v2beta3"] {
            assert!(is_versioned(good), "{good}");
        }
        for bad in [
            "",
            "llm",
            "ai.llm",
            "ai.llm.v",
            "ai.llm.v0",
            "ai.llm.v01",
            "x.ai.llm.v1",
            "Ai.llm.v1",
            "ai.2llm.v1",
            "ai.llm.v1alpha",
            "ai.llm.v1rc1",
            "ai._llm.v1",
            "ai..v1",
        ] {
            assert!(!is_versioned(bad), "{bad}");
        }
    }

    #[test]
    fn the_suggested_package_is_legal() {
        for package in ["", "llm", "ai.llm", "x.ai.llm.v3", "Ai.LLM.V2", "_._._", "v1", "ü"] {
            let suggestion = suggestion(package, "LlmService");
            assert!(is_versioned(&suggestion), "{package}: {suggestion}");
        }
    }
}
