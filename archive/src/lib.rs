#![doc = include_str!("../README.md")]

mod archive;
mod database;
mod error;
mod facts;
pub mod limits;
mod migrate;
mod options;
mod page;
mod query;
mod record;
#[cfg(all(unix, feature = "testing"))]
pub mod testing;
mod time;
mod tls;
mod writer;

pub use self::{
    archive::Archive,
    error::{ERROR_DOMAIN, reason},
    facts::Facts,
    options::ArchiveOptions,
    page::{Archived, Cursor, Page},
    query::Query,
};
