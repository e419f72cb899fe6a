//! Any bytes as a Dockerfile: typed instructions or an error that can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lithify_builder::Dockerfile;

fuzz_target!(|bytes: &[u8]| {
    match Dockerfile::parse("Dockerfile", bytes.to_vec()) {
        Ok(dockerfile) => {
            for step in &dockerfile.steps {
                assert!(!format!("{step:?}").is_empty());
            }
        }
        Err(error) => assert!(!error.render().is_empty()),
    }
});
