//! End-to-end tests: build, freeze and run real artifacts.
