//! What several of the programs share.

mod beside;
mod conversation;

pub use self::{
    beside::{Stop, beside},
    conversation::ask,
};

/// Tells what one run of a program says from what others have said: streams remember.
pub fn run_id() -> String {
    format!("{:08x}", rand::random::<u32>())
}
