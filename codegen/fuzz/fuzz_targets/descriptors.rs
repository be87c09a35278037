//! Arbitrary bytes as a `FileDescriptorSet`: code that parses or an error, and no path that escapes.
//!
//! `cargo +nightly fuzz run descriptors` in `codegen/`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(files) = subwire_build::generate_from_descriptors(bytes) else {
        return;
    };
    for (name, content) in files {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        assert!(name.chars().all(plain) && !name.starts_with('.'), "{name}");
        if name.ends_with(".rs") {
            let text = std::str::from_utf8(&content).expect("generated code is text");
            syn::parse_file(text).expect("generated code parses");
        }
    }
});
