//! What is wrong with a schema, and where.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why nothing was generated.
///
/// `Debug` prints the same as `Display`, because a build script that returns this error from
/// `main` shows `Debug`.
#[derive(thiserror::Error)]
pub enum Error {
    /// The schema breaks rules: every problem that was found, in the order of the files.
    #[error("{}", Lines(.0))]
    Refused(Vec<Problem>),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// The problems of a refused schema; empty for an I/O error.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Refused(problems) => problems,
            Self::Io { .. } => &[],
        }
    }

    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// Sorts by place and drops what two passes found twice.
    pub(crate) fn refused(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.key().cmp(&b.key()));
        problems.dedup();
        Self::Refused(problems)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One broken rule: `proto/ai/llm/v1/llm.proto:7:3: RULE_ID: message; write `x` instead`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as far as the caller's paths lead to it.
    pub path: PathBuf,
    /// The line, from 1; 0 when the problem has no place in the file.
    pub line: u32,
    /// The column, from 1; 0 when the problem has no place in the file.
    pub column: u32,
    /// The rule, in the manner of buf: `PACKAGE_VERSION_SUFFIX`.
    pub rule: &'static str,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Problem {
    /// A problem of a whole file, or of no file's text.
    pub(crate) fn of_file(path: &Path, rule: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, column: 0, rule, message: message.into() }
    }

    fn key(&self) -> (&Path, u32, u32, &str, &str) {
        (&self.path, self.line, self.column, self.rule, &self.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        write!(f, " {}: {}", self.rule, self.message)
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
