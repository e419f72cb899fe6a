//! The `lithify` command: arguments, progress, error printing, exit codes; no logic.
//!
//! Results go to standard output, everything else to standard error.

mod args;
mod boot_files;
mod build;
mod bundle;
mod compile;
mod component;
mod convert;
mod error;
mod exit;
mod freeze;
mod freeze_point;
mod images;
mod inspect;
mod login;
mod progress;
mod prune;
mod pull;
mod push;
mod reference;
mod registry;
mod remote;
mod run;
mod run_name;
mod save;
mod signals;
mod tag;
mod waiting;
mod web;

use args::{Arguments, Command};
use clap::{CommandFactory, Parser};
use error::CliError;
use exit::Exit;
use std::io::{self, Write};

fn main() {
    let exit = match dispatch(Arguments::parse().command) {
        Ok(exit) => exit,
        Err(error) => {
            // Nobody is left to tell if standard error is closed.
            let _ = writeln!(io::stderr(), "{error}");
            error.exit
        }
    };
    // Skips destructors on purpose: unmapping an artifact takes longer than starting it.
    std::process::exit(exit.code());
}

fn dispatch(command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Build(args) => build::build(&args),
        Command::Run(args) => run::run(*args),
        Command::Freeze(args) => freeze::freeze(&args),
        Command::Compile(args) => compile::compile(&args),
        Command::Bundle(args) => bundle::bundle(&args),
        Command::Component(args) => component::component(&args),
        Command::Web(args) => web::web(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Login(args) => login::login(&args),
        Command::Logout(args) => login::logout(&args),
        Command::Push(args) => push::push(&args),
        Command::Pull(args) => pull::pull(&args),
        Command::Tag(args) => tag::tag(&args),
        Command::Rm(args) => tag::rm(&args),
        Command::Convert(args) => convert::convert(&args),
        Command::Images(args) => images::images(&args),
        Command::Prune(args) => prune::prune(&args),
        Command::Completion { shell } => print(&completion(shell)),
        Command::Version => print(concat!("lithify ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()),
    }
}

fn completion(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "lithify", &mut script);
    script
}

/// Prints a result. A reader that has seen enough is no error.
fn print(result: &[u8]) -> Result<Exit, CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(result).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::own(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(Exit::Success),
    }
}
