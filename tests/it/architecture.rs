//! The rules of the house: who may import whom, no cycles, sizes, purity. A failure means that the change is wrong,
//! or that the house is: then change the table below in a commit of its own and say why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::Visit;

/// Ranks, lowest first. A module may name modules of lower ranks, and its own.
/// Of two entries that fit a path the longer one counts.
const RANKS: &[(&str, u32)] = &[
    ("device", 0),
    ("access", 1),
    ("line", 1),
    ("hub", 2),
    ("json", 3),
    ("record", 3),
    ("site", 3),
    ("source", 4),
    ("frames", 4),
    ("mqtt::settings", 5),
    ("mqtt::tls", 5),
    ("mqtt::topics", 5),
    ("mqtt::discovery", 5),
    ("mqtt::gone", 5),
    ("mqtt::publish", 5),
    ("mqtt::inbound", 5),
    ("mqtt::requests", 5),
    ("mqtt::window", 5),
    ("mqtt::backoff", 5),
    ("http::cursor", 5),
    ("http::ask", 5),
    ("http::guard::host", 5),
    ("http::guard::origin", 5),
    ("http::limits::figures", 5),
    ("http::limits::rate", 5),
    ("config::place", 5),
    ("config", 6),
    ("door", 7),
    ("port", 8),
    ("store", 8),
    ("log", 8),
    ("upkeep", 9),
    ("disk", 9),
    ("mqtt", 10),
    ("http", 10),
    ("run", 11),
    ("cli", 12),
];

/// Pure: no clock, no async, no I/O, no serde.
const PURE: &[&str] = &[
    "access",
    "device",
    "line",
    "hub",
    "config::place",
    "port::recording",
    "port::conversation",
    "port::pcap",
    "http::guard::host",
    "http::guard::origin",
    "http::limits::figures",
    "http::limits::hot",
    "http::limits::kind",
    "http::limits::places",
    "http::limits::rate",
    "http::limits::strikes",
    "cli::doctor::patterns",
    "cli::doctor::redact",
];

/// Pure but for encodings: no clock, no async, no I/O.
const PURE_WITH_SERDE: &[&str] = &[
    "frames",
    "json",
    "record",
    "mqtt::settings",
    "mqtt::tls",
    "mqtt::topics",
    "mqtt::discovery",
    "mqtt::gone",
    "mqtt::publish",
    "mqtt::inbound",
    "mqtt::requests",
    "mqtt::window",
    "mqtt::backoff",
    "http::cursor",
    "http::ask",
    "config::file",
];

const IMPURE: &[&str] = &[
    "tokio",
    "sled",
    "axum",
    "hyper",
    "rumqttc",
    "mqtt5",
    "tracing",
    "std::io",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "Instant::now",
    "SystemTime::now",
];

/// One technology, one room.
const ROOMS: &[(&str, &[&str])] = &[
    ("sled", &["store"]),
    ("rumqttc", &["mqtt"]),
    ("mqtt5", &["mqtt::broker"]),
    ("rustls", &["mqtt::tls", "http::tls", "cli::tls"]),
    ("rustls_native_certs", &["mqtt::transport"]),
    ("axum", &["http"]),
    ("tokio_serial", &["port"]),
    ("plugline_simulator", &["cli"]),
    ("rustix", &["cli::doctor::here"]),
    ("toml", &["config"]),
    ("argon2", &["upkeep::sealed"]),
    ("chacha20poly1305", &["upkeep::sealed"]),
    ("toml_edit", &["config::edit"]),
    ("prometheus", &["http::metrics"]),
];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

struct Source {
    module: String,
    path: PathBuf,
    text: String,
    ast: syn::File,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder exists").flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    into.sort();
}

fn module_of(path: &Path) -> String {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let module = parts.join("::");
    let module = module.trim_end_matches(".rs").trim_end_matches("::mod");
    module.to_owned()
}

fn sources_below(folder: &str) -> Vec<Source> {
    let base = root().join(folder);
    let mut paths = Vec::new();
    rust_files(&base, &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a source file is text");
            let ast = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let module = module_of(path.strip_prefix(&base).expect("it lies below"));
            Source { module, path, text, ast }
        })
        .collect()
}

fn gateway() -> Vec<Source> {
    let mut sources = sources_below("src");
    sources.retain(|source| !is_test_file(&source.path));
    sources
}

fn is_test_file(path: &Path) -> bool {
    path.iter().any(|part| part == "tests") || path.to_string_lossy().ends_with("tests.rs")
}

fn longest_prefix<'a, T>(table: &'a [(&str, T)], module: &str) -> Option<&'a (&'a str, T)>
where
    T: Copy,
{
    let fits = table.iter().filter(|(name, _)| module == *name || module.starts_with(&format!("{name}::")));
    fits.max_by_key(|(name, _)| name.len())
}

/// Collects every path written in code, tests apart, with `use` trees spelled out.
#[derive(Default)]
struct Paths {
    found: BTreeSet<String>,
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.spell(&item.tree, "");
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.found.insert(words.join("::"));
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        let text = mac.tokens.to_string().replace(' ', "");
        for (start, _) in text.match_indices("crate::") {
            let rest = &text[start..];
            let end =
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
            self.found.insert(rest[..end].to_owned());
        }
        syn::visit::visit_macro(self, mac);
    }
}

impl Paths {
    fn of(source: &Source) -> BTreeSet<String> {
        let mut paths = Self::default();
        paths.visit_file(&source.ast);
        paths.found
    }

    fn spell(&mut self, tree: &syn::UseTree, before: &str) {
        let join = |ident: &syn::Ident| {
            if before.is_empty() { ident.to_string() } else { format!("{before}::{ident}") }
        };
        match tree {
            syn::UseTree::Path(path) => self.spell(&path.tree, &join(&path.ident)),
            syn::UseTree::Name(name) => {
                self.found.insert(join(&name.ident));
            }
            syn::UseTree::Rename(rename) => {
                self.found.insert(join(&rename.ident));
            }
            syn::UseTree::Glob(_) => {
                self.found.insert(format!("{before}::*"));
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.spell(item, before)),
        }
    }
}

/// The module of this crate that a path names, relative paths resolved.
fn resolved(path: &str, module: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("crate::") {
        return Some(rest.to_owned());
    }
    let mut here: Vec<&str> = module.split("::").collect();
    let mut rest = path;
    let mut relative = false;
    while let Some(shorter) = rest.strip_prefix("super::") {
        here.pop();
        rest = shorter;
        relative = true;
    }
    relative.then(|| if here.is_empty() { rest.to_owned() } else { format!("{}::{rest}", here.join("::")) })
}

#[test]
fn imports_run_one_way() {
    let mut wrong = Vec::new();
    for source in gateway() {
        if matches!(source.module.as_str(), "lib" | "main") {
            continue;
        }
        let Some((_, rank)) = longest_prefix(RANKS, &source.module) else {
            wrong.push(format!("{} has no rank; give it one in RANKS", source.module));
            continue;
        };
        for path in Paths::of(&source) {
            let Some(to) = resolved(&path, &source.module) else { continue };
            let Some((to_name, to_rank)) = longest_prefix(RANKS, &to) else { continue };
            let same_room = source.module.split("::").next() == to.split("::").next();
            if to_rank > rank && !(same_room && source.module.split("::").count() == 1) {
                wrong.push(format!(
                    "{} (rank {rank}) names {to_name} (rank {to_rank}): {path}",
                    source.module
                ));
            } else if to_rank == rank && !same_room {
                wrong.push(format!(
                    "{} and {to_name} are of one rank and must not name each other",
                    source.module
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_module_of_the_top_level_is_part_of_a_cycle() {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut rooms = BTreeSet::new();
    for source in gateway() {
        let from = room(&source.module);
        rooms.insert(from.clone());
        for path in Paths::of(&source) {
            if let Some(to) = resolved(&path, &source.module).map(|to| room(&to)) {
                edges.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    for start in &rooms {
        let mut seen = BTreeSet::new();
        let firsts = edges.get(start).into_iter().flatten().filter(|to| *to != start);
        let mut open: Vec<Vec<&String>> = firsts.map(|to| vec![start, to]).collect();
        while let Some(way) = open.pop() {
            let next = way[way.len() - 1];
            assert_ne!(next, start, "{start} reaches itself: {way:?}");
            if seen.insert(next) {
                let further = edges.get(next).into_iter().flatten();
                open.extend(further.map(|to| way.iter().copied().chain([to]).collect()));
            }
        }
    }
}

/// The node of a module in the graph of the top level. The pure files of an edge are rooms of their own: config
/// and the doors may know them.
fn room(module: &str) -> String {
    let pure_file = PURE_WITH_SERDE.iter().chain(PURE).find(|name| module.starts_with(**name));
    let top = || module.split("::").next().unwrap_or_default();
    pure_file.map_or_else(|| top().to_owned(), |name| (*name).to_owned())
}

#[test]
fn pure_modules_know_no_clock_no_io_and_no_encoding() {
    let below = |module: &str, names: &[&str]| {
        names.iter().any(|name| module == *name || module.starts_with(&format!("{name}::")))
    };
    let mut wrong = Vec::new();
    for source in gateway() {
        let pure = below(&source.module, PURE);
        if !pure && !below(&source.module, PURE_WITH_SERDE) {
            continue;
        }
        for path in Paths::of(&source) {
            let banned = |word: &&str| {
                path == **word || path.starts_with(&format!("{word}::")) || path.ends_with(*word)
            };
            if IMPURE.iter().any(banned) || (pure && path.starts_with("serde")) {
                wrong.push(format!("{}: {path}", source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn each_technology_is_named_in_its_room_only() {
    let mut wrong = Vec::new();
    for source in gateway() {
        for path in Paths::of(&source) {
            let first = path.split("::").next().unwrap_or_default();
            let Some((_, rooms)) = ROOMS.iter().find(|(technology, _)| *technology == first) else {
                continue;
            };
            let at_home =
                |room: &&str| source.module == **room || source.module.starts_with(&format!("{room}::"));
            if path.contains("::") && !rooms.iter().any(at_home) {
                wrong.push(format!("{}: {path}", source.module));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Calls by which a router gets a route.
const ROUTING: [&str; 8] = [
    "route",
    "route_service",
    "nest",
    "nest_service",
    "merge",
    "fallback",
    "fallback_service",
    "method_not_allowed_fallback",
];

#[derive(Default)]
struct Calls(Vec<String>);

impl<'ast> Visit<'ast> for Calls {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.0.push(call.method.to_string());
        syn::visit::visit_expr_method_call(self, call);
    }
}

#[test]
fn no_route_exists_without_a_row_in_the_table() {
    let mut tables = 0;
    for source in gateway().iter().filter(|source| source.module.starts_with("http")) {
        let mut calls = Calls::default();
        calls.visit_file(&source.ast);
        let routes = calls.0.iter().any(|call| ROUTING.contains(&call.as_str()))
            || Paths::of(source).iter().any(|path| path.starts_with("axum::routing"));
        let is_table = source.module == "http::routes";
        tables += usize::from(is_table && routes);
        assert!(!routes || is_table, "{} makes a route; give it a row in http::routes", source.module);
    }
    assert_eq!(tables, 1, "the table is where the rule looks for it");
}

struct Functions<'a> {
    source: &'a Source,
    lengths: Vec<usize>,
    wrong: Vec<String>,
}

impl Functions<'_> {
    fn measure(&mut self, name: &syn::Ident, span: proc_macro2::Span) {
        let lines = span.end().line - span.start().line + 1;
        self.lengths.push(lines);
        if lines > FUNCTION_LINES_MAX {
            self.wrong.push(format!("{}: fn {name} has {lines} lines", self.source.path.display()));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig.ident, function.block.span());
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig.ident, function.block.span());
        syn::visit::visit_impl_item_fn(self, function);
    }
}

fn lines_without_tests(source: &Source) -> usize {
    let tests = source.ast.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if is_test(&module.attrs) => Some(module.span()),
        _ => None,
    });
    let test_lines: usize = tests.map(|span| span.end().line - span.start().line + 1).sum();
    source.text.lines().count() - test_lines
}

#[test]
fn files_and_functions_stay_small_enough_to_feel_at_home_in() {
    let folders =
        ["src", "protocol-spec/src", "hardware/socket-core/src", "hardware/simulator/src", "tests/bench/src"];
    let sources: Vec<Source> =
        folders.iter().flat_map(|folder| sources_below(folder)).filter(|s| !is_test_file(&s.path)).collect();
    let mut wrong = Vec::new();
    let mut functions = Vec::new();
    let mut files = Vec::new();
    for source in &sources {
        let lines = lines_without_tests(source);
        files.push(lines);
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines", source.path.display()));
        }
        let mut visitor = Functions { source, lengths: Vec::new(), wrong: Vec::new() };
        visitor.visit_file(&source.ast);
        functions.append(&mut visitor.lengths);
        wrong.append(&mut visitor.wrong);
    }
    files.sort_unstable();
    functions.sort_unstable();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let (file, function) = (files[files.len() / 2], functions[functions.len() / 2]);
    assert!(file <= 200, "the median file has {file} lines");
    assert!(function <= 8, "the median function has {function} lines");
}

#[test]
fn every_file_says_on_top_what_it_owns() {
    let folders = [
        "src",
        "protocol-spec/src",
        "hardware/socket-core/src",
        "hardware/socket-core/tests",
        "hardware/simulator/src",
        "tests/bench/src",
        "tests/it",
    ];
    for folder in folders {
        for source in sources_below(folder) {
            assert!(source.text.starts_with("//! "), "{} starts without `//!`", source.path.display());
        }
    }
}
