//! Each numbered sentence of the Plugline line's text is named by a test, or stands in the list of those that are
//! still open. A test names it by `// [PLG-4.2-3]` in front of its attribute.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a folder with this ending, build results and hidden folders apart.
fn files(folder: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && name != "target" {
                files(&path, ending, into);
            }
        } else if name.ends_with(ending) {
            into.push(path);
        }
    }
    into.sort();
}

/// The ids in a text: `PLG-4.2-3` of `[PLG-4.2-3]`.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    text.split("[PLG-").skip(1).filter_map(|rest| {
        let id = rest.split_once(']')?.0;
        let digits = id.split(['.', '-']);
        let numbered = digits.clone().count() == 3 && digits.clone().all(|part| part.parse::<u16>().is_ok());
        numbered.then_some(id)
    })
}

/// Every requirement and its sentence; nothing may be numbered twice, or say nothing that must be.
fn demanded() -> BTreeMap<String, String> {
    let mut pages = Vec::new();
    files(&root().join("protocol-spec"), ".md", &mut pages);
    let mut all = BTreeMap::new();
    for page in pages {
        for line in std::fs::read_to_string(&page).unwrap().lines() {
            let Some(sentence) = line.strip_prefix("- **[PLG-") else { continue };
            let id = ids(line).next().unwrap_or_else(|| panic!("{}: {line}", page.display()));
            assert!(sentence.contains("MUST") || sentence.contains("SHOULD"), "{id} demands nothing");
            let page = page.file_name().unwrap().to_string_lossy().into_owned();
            assert!(all.insert(id.to_owned(), page).is_none(), "{id} is there twice");
        }
    }
    assert!(all.len() > 100, "the requirements are gone: {}", all.len());
    all
}

/// Every id that a test names. A comment counts only in front of a test.
fn tested() -> BTreeSet<String> {
    let mut sources = Vec::new();
    files(root(), ".rs", &mut sources);
    let mut all = BTreeSet::new();
    for source in sources {
        let text = std::fs::read_to_string(&source).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("// [PLG-")) {
            let next = lines[at..].iter().find(|line| !line.starts_with("//")).copied().unwrap_or("");
            let place = format!("{}:{}", source.display(), at + 1);
            assert!(
                next.starts_with("#[test]") || next.starts_with("#[tokio::test"),
                "{place}: no test follows"
            );
            all.extend(ids(line).map(str::to_owned));
        }
    }
    all
}

/// The open ones, each with who has to keep it.
fn open() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("protocol-spec/open-requirements.txt")).unwrap();
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (id, who) = line.split_once(' ').unwrap_or_else(|| panic!("`{line}` does not say who keeps it"));
        let id = id.strip_prefix("PLG-").unwrap_or_else(|| panic!("`{id}` is no requirement"));
        assert!(all.insert(id.to_owned(), who.trim().to_owned()).is_none(), "{id} is listed twice");
    }
    all
}

#[test]
fn every_requirement_is_named_by_a_test_or_listed_as_open() {
    let (demanded, tested, open) = (demanded(), tested(), open());
    let mut wrong = Vec::new();
    for (id, page) in &demanded {
        match (tested.contains(id), open.contains_key(id)) {
            (false, false) => wrong.push(format!("{id} ({page}) has no test and is not listed as open")),
            (true, true) => wrong.push(format!("{id} has a test by now: take it off the list of open ones")),
            _ => {}
        }
    }
    let known = |id: &&String| !demanded.contains_key(*id);
    wrong
        .extend(tested.iter().filter(known).map(|id| format!("a test names {id}, which is not in the text")));
    wrong.extend(open.keys().filter(known).map(|id| format!("{id} is listed as open and not in the text")));
    println!("{} requirements, {} named by tests, {} open:", demanded.len(), tested.len(), open.len());
    for (id, who) in &open {
        println!("  PLG-{id} {who}");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

// [PLG-5.8-3]
#[test]
fn no_switch_of_the_build_makes_a_socket_that_takes_frames_without_a_tag() {
    let mut switches = Vec::new();
    for folder in ["protocol-spec/src", "hardware/socket-core/src"] {
        let mut sources = Vec::new();
        files(&root().join(folder), ".rs", &mut sources);
        for source in sources {
            let text = std::fs::read_to_string(&source).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            let places =
                lines.windows(2).filter(|pair| pair[0].contains("cfg(") || pair[0].contains("cfg!("));
            let real = places.filter(|pair| pair[0] != "#[cfg(test)]");
            switches.extend(real.map(|pair| format!("{} {}", pair[0], pair[1])));
        }
    }
    // How the CRC is reckoned, and nothing else.
    assert_eq!(switches.len(), 2, "{switches:#?}");
    let reckoning = |switch: &String| switch.contains("\"table\"") && switch.contains("type Way = crc::");
    assert!(switches.iter().all(reckoning), "{switches:#?}");
}
