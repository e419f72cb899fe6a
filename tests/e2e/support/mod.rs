//! What the tests share: the environment, artifacts built once, running them, foreign images.

mod artifact;
mod guest;
mod lab;
mod layout;
mod mirror;
mod outcome;
mod pty;
mod running;
mod steps;
mod trial;

pub(crate) use artifact::{Artifact, Image};
pub(crate) use guest::Runtime;
pub(crate) use lab::Lab;
pub(crate) use layout::{Entry, Layout};
pub(crate) use mirror::Mirror;
pub(crate) use outcome::{Outcome, feed, run, run_within};
pub(crate) use pty::Pty;
pub(crate) use running::Running;
pub(crate) use steps::Steps;
pub(crate) use trial::{End, trial};
