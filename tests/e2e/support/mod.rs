//! What the tests share: the environment, artifacts built once, running them, foreign images.

mod artifact;
mod guest;
mod lab;
mod layout;
mod outcome;

pub(crate) use artifact::{Artifact, Image};
pub(crate) use guest::Runtime;
pub(crate) use lab::Lab;
pub(crate) use layout::{Entry, Layout};
pub(crate) use outcome::{Outcome, feed, run};
