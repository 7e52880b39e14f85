//! Tells the program which commit it was built from, and when that commit was made.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let committed_unix_s = git(&["log", "-1", "--format=%ct"]).unwrap_or_else(|| "0".into());
    println!("cargo::rustc-env=PLUGLINE_COMMIT={commit}");
    println!("cargo::rustc-env=PLUGLINE_COMMITTED_UNIX_S={committed_unix_s}");
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
