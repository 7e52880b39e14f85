//! The command line: one file per verb, thin over the library and the HTTP API.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use switch::Wanted;

pub mod backup;
pub mod capture;
pub mod check_config;
pub mod client;
pub mod decode;
pub mod demo;
pub mod doctor;
pub mod events;
pub mod gateway;
pub mod groups;
mod hands;
pub mod history;
pub mod join;
pub mod locate;
pub mod logs;
pub mod manage;
pub mod quality;
pub mod replay;
pub mod shell;
pub mod simulate;
pub mod sockets;
pub mod sse;
pub mod switch;
pub mod tls;
pub mod tokens;

/// Gateway for passive sockets on the mains wiring.
#[derive(Debug, Parser)]
#[command(name = "plugline", version = crate::run::VERSION, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The whole system on simulated devices behind real ptys; nothing else needed
    Demo(demo::Arguments),
    /// The gateway
    Run(ConfigFile),
    /// A house of simulated sockets behind a pseudo terminal or TCP, for any gateway to connect to
    Simulate(simulate::Arguments),
    /// Validate the configuration; errors with line and column
    CheckConfig(ConfigFile),
    /// The gateway, with what passes one port recorded in a file
    Capture(capture::Arguments),
    /// The gateway on a recording in place of a port
    Replay(replay::Arguments),
    /// Frames to JSON, one object a line; exit 1 if any was malformed
    Decode {
        /// Dialect of the bytes: dlt645, insteon, plugline
        dialect: String,
        /// One frame each, as hex; `-` reads chunks of the port's bytes from standard input, one a line
        #[arg(required = true, value_name = "HEX…|-")]
        hex: Vec<String>,
    },
    /// What is on the lines and how it fares
    Sockets {
        #[command(flatten)]
        gateway: locate::Gateway,
    },
    /// Switch a socket or a group on and wait for its outcome
    On(SwitchArguments),
    /// Switch a socket or a group off and wait for its outcome
    Off(SwitchArguments),
    /// Ask a socket for everything now
    Read(SwitchArguments),
    /// Make a socket show itself, by a beep or its lamp
    Identify {
        /// Its id, or its name
        device: String,
        /// How long, 1 … 30 s
        #[arg(long, default_value_t = 5)]
        seconds: u16,
        #[command(flatten)]
        gateway: locate::Gateway,
    },
    /// Let new devices come to a line for a while
    Join(join::Arguments),
    /// Groups of sockets, switched as one
    Groups(groups::Arguments),
    #[command(flatten)]
    Registry(manage::Verb),
    /// Who may use the gateway's HTTP API
    #[command(subcommand)]
    Token(tokens::Verb),
    /// Who changed what, the newest first
    Audit(tokens::AuditArguments),
    /// What a socket measured
    Readings(history::Readings),
    /// What a socket consumed each day
    Energy(history::Energy),
    /// How well a line carries
    Quality(quality::Arguments),
    /// Registry and configuration of the running gateway as one text file
    Backup(backup::Backup),
    /// Such a file back, into the running gateway or the folder of a stopped one
    Restore(backup::Restore),
    /// What is wrong with this machine and its gateway, and a redacted bundle for bug reports; exit 1 if anything is
    Doctor(doctor::Arguments),
    /// What a shell completes the command line with
    Completions {
        /// bash, elvish, fish, powershell, zsh
        shell: clap_complete::Shell,
    },
    /// The manual page, for `man -l -`
    Man,
    /// Follow the feed
    Events {
        /// Start behind this cursor instead of now; `earliest` for all that is kept
        #[arg(long, value_name = "CURSOR", default_value = "now")]
        since: String,
        #[command(flatten)]
        gateway: locate::Gateway,
    },
}

/// Names the configuration file where no argument does.
const CONFIG_VARIABLE: &str = "PLUGLINE_CONFIG";

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// Configuration file [default: ./plugline.toml, then /etc/plugline/plugline.toml]
    #[arg(long, value_name = "FILE", env = CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SwitchArguments {
    /// Ids of devices, or their names where no other has it
    #[arg(required = true, value_name = "DEVICE")]
    devices: Vec<String>,
    #[command(flatten)]
    gateway: locate::Gateway,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logs::start();
    match run(arguments.verb) {
        Ok(code) => code,
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody left to tell then.
            let _ = writeln!(io::stderr(), "plugline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The reader of our output has gone: it has seen enough.
fn broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match verb {
        Verb::Decode { dialect, hex } => decode(&dialect, &hex, &mut out),
        Verb::CheckConfig(file) => check_config::run(&file, &mut out),
        Verb::Run(file) => runtime()?.block_on(gateway::run(&file)),
        Verb::Capture(arguments) => runtime()?.block_on(capture::run(arguments, &mut out)),
        Verb::Replay(arguments) => {
            drop(out);
            runtime()?.block_on(replay::run(arguments))
        }
        Verb::Demo(arguments) => {
            drop(out);
            runtime()?.block_on(demo::run(arguments))
        }
        Verb::Simulate(arguments) => {
            drop(out);
            runtime()?.block_on(simulate::run(arguments))
        }
        Verb::Sockets { gateway } => {
            runtime()?.block_on(async { sockets::run(&gateway.client()?, gateway.json, &mut out).await })
        }
        Verb::On(arguments) => switch(&arguments, Wanted::On, &mut out),
        Verb::Off(arguments) => switch(&arguments, Wanted::Off, &mut out),
        Verb::Read(arguments) => switch(&arguments, Wanted::Read, &mut out),
        Verb::Identify { device, seconds, gateway } => {
            let wanted = Wanted::Identify { seconds };
            runtime()?.block_on(async {
                switch::run(&gateway.client()?, wanted, &[device], gateway.json, &mut out).await
            })
        }
        Verb::Completions { shell } => shell::completions(shell, &mut out).map(|()| ExitCode::SUCCESS),
        Verb::Man => shell::man(&mut out).map(|()| ExitCode::SUCCESS),
        Verb::Doctor(arguments) => runtime()?.block_on(doctor::run(&arguments, &mut out)),
        Verb::Backup(arguments) => runtime()?.block_on(backup::make(&arguments, &mut out)),
        Verb::Restore(arguments) => runtime()?.block_on(backup::restore(&arguments, &mut out)),
        Verb::Join(arguments) => runtime()?.block_on(join::run(&arguments, &mut out)),
        Verb::Groups(arguments) => runtime()?.block_on(groups::run(&arguments, &mut out)),
        Verb::Registry(verb) => runtime()?.block_on(manage::run(&verb, &mut out)),
        Verb::Readings(arguments) => runtime()?.block_on(history::readings(&arguments, &mut out)),
        Verb::Energy(arguments) => runtime()?.block_on(history::energy(&arguments, &mut out)),
        Verb::Quality(arguments) => runtime()?.block_on(quality::run(&arguments, &mut out)),
        Verb::Token(verb) => runtime()?.block_on(tokens::run(&verb, &mut out)),
        Verb::Audit(arguments) => runtime()?.block_on(tokens::audit(&arguments, &mut out)),
        Verb::Events { since, gateway } => runtime()?
            .block_on(async { events::run(&gateway.client()?, &since, gateway.json, &mut out).await }),
    }
}

fn switch(arguments: &SwitchArguments, wanted: Wanted, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let gateway = &arguments.gateway;
    runtime()?.block_on(async {
        switch::run(&gateway.client()?, wanted, &arguments.devices, gateway.json, out).await
    })
}

fn decode(dialect: &str, hex: &[String], out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut lines = io::stdin().lock();
    let input = match hex {
        [dash] if dash == "-" => decode::Input::Stream(&mut lines),
        frames => decode::Input::Frames(frames),
    };
    let all_good = decode::run(dialect, input, out)?;
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One thread: a reading passes through five tasks, and waking another thread for each takes longer than all their
/// work. What blocks has threads of its own.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
