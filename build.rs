//! Tells the program which commit it was built from, and when that commit was made, and packs the files of the page.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::Hasher;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Where the page lies.
const PAGE: &str = "src/http/page";
/// What is served of it; the rest is for people who read the source.
const SERVED: [&str; 5] = ["html", "css", "js", "svg", "txt"];

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let committed_unix_s = git(&["log", "-1", "--format=%ct"]).unwrap_or_else(|| "0".into());
    println!("cargo::rustc-env=PLUGLINE_COMMIT={commit}");
    println!("cargo::rustc-env=PLUGLINE_COMMITTED_UNIX_S={committed_unix_s}");
    pack()
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Writes the table of the page's files for `src/http/page.rs`, each as it is and compressed.
fn pack() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed={PAGE}");
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let page = root.join(PAGE);
    let mut files = Vec::new();
    collect(&page, &mut files)?;
    let mut table = String::from("&[\n");
    for (index, file) in files.iter().enumerate() {
        let bytes = std::fs::read(file)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&bytes)?;
        let packed = out.join(format!("page-{index}.gz"));
        std::fs::write(&packed, encoder.finish()?)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let name = file.strip_prefix(&page).unwrap_or(file);
        let line = format!(
            "    File {{ name: {name:?}, tag: \"W/\\\"{:016x}\\\"\", raw: include_bytes!({file:?}), \
             gzip: include_bytes!({packed:?}) }},",
            hasher.finish()
        );
        let _ = writeln!(table, "{line}");
    }
    table.push_str("]\n");
    std::fs::write(out.join("page.rs"), table)
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|kind| SERVED.iter().any(|served| kind == *served)) {
            into.push(path);
        }
    }
    into.sort();
    Ok(())
}
