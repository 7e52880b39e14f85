//! The verbs of the command line as processes: what they print, where, and how they end.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::gateway::{Ended, KETTLE, Program, Site, ended, plugline, seq, within};

async fn run(arguments: &[&str]) -> Ended {
    ended(&mut plugline(arguments)).await
}

/// `check-config` of a text.
async fn check(text: &str) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plugline.toml");
    std::fs::write(&path, text).expect("written");
    ended(plugline(&["check-config", "--config"]).arg(&path)).await
}

const GOOD: &str = "[[line]]\ndialect = \"dlt645\"\nport = \"/dev/ttyUSB0\"\n";

#[tokio::test]
async fn the_version_names_the_commit() {
    let told = run(&["--version"]).await;
    assert_eq!(told.code, Some(0));
    let start = concat!("plugline ", env!("CARGO_PKG_VERSION"), " (");
    let commit = told.out.strip_prefix(start).and_then(|rest| rest.strip_suffix(')')).expect("a commit");
    if Path::new(env!("CARGO_MANIFEST_DIR")).join(".git").exists() {
        let letters = commit.trim_end_matches("-dirty");
        assert!(letters.len() >= 7 && letters.bytes().all(|byte| byte.is_ascii_hexdigit()), "{commit}");
    }
}

#[tokio::test]
async fn a_good_configuration_is_explained() {
    let told = check(GOOD).await;
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    let parts = [
        "plugline.toml: good",
        "dlt645 on /dev/ttyUSB0",
        "127.0.0.1:8480",
        "127.0.0.1:1883",
        "/var/lib/plugline",
    ];
    for part in parts {
        assert!(told.out.contains(part), "{part} in {}", told.out);
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_where_it_is_wrong() {
    for (text, parts) in [
        ("[http]\n\n[mqtt]\nbrokr = \"embedded\"\n", ["line 4, column 1", "brokr", "did you mean `broker`?"]),
        ("[http]\nlisten = 8480\n", ["line 2, column 10", "invalid type", "string"]),
        ("[http]\nlisten = \"0.0.0.0:80\"\n", ["line 2, column 10", "loopback", "ssh"]),
        ("[http\n", ["line 1", "plugline.toml", ""]),
        ("[[line]]\nport = \"/dev/x\"\n", ["line 1", "missing field", "dialect"]),
    ] {
        let told = check(text).await;
        assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{text}");
        for part in parts {
            assert!(told.err.contains(part), "{part} in {}", told.err);
        }
        assert_eq!(told.err.lines().count(), 1, "{}", told.err);
    }
}

#[tokio::test]
async fn a_line_of_insteon_is_explained_and_refused_like_any_other() {
    let line = "[[line]]\ndialect = \"insteon\"\nport = \"/dev/ttyUSB0\"\n";
    let told = check(line).await;
    assert!(
        told.out.contains("line insteon: insteon on /dev/ttyUSB0, 0 devices"),
        "{}{}",
        told.out,
        told.err
    );
    let device = |more: &str| format!("{line}[[line.device]]\naddress = \"2C.0D.11\"\n{more}\n");
    let told = check(&device("kind = \"dual\"\nname = \"Shelf\"")).await;
    assert!(told.code == Some(0) && told.out.contains("2 devices"), "{}{}", told.out, told.err);
    let twice = device("kind = \"dual\"\n[[line.device]]\naddress = \"2c0d11\"\nchannel = 2");
    for (text, parts) in [
        (
            format!("{line}baud = 19200\n"),
            ["line 4, column 1", "`baud` belongs to a line of dialect `dlt645`"],
        ),
        (format!("{line}periods = {{ meter = 1 }}\n"), ["line 4, column 21", "5 s and more"]),
        (format!("{line}[[line.device]]\naddress = \"1A777\"\n"), ["line 5, column 11", "1A.77.7B"]),
        (device("kind = \"lamp\""), ["line 6, column 8", "`outlet`, `dual` or `meter`"]),
        (device("password_file = \"x\""), ["line 6, column 1", "one of `insteon` takes `address`, `name`"]),
        (twice, ["line 8, column 11", "2c0d11 with channel 2 stands on this line already"]),
        (
            format!("{GOOD}tries = 3\n"),
            ["line 4, column 1", "`tries` belongs to a line of dialect `insteon`"],
        ),
    ] {
        let told = check(&text).await;
        assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{text}");
        for part in parts {
            assert!(told.err.contains(part), "{part} in {}", told.err);
        }
    }
}

#[tokio::test]
async fn a_configuration_that_is_not_there_is_looked_for_in_the_named_places() {
    let folder = tempfile::tempdir().expect("a folder");
    for verb in ["check-config", "run"] {
        if !Path::new("/etc/plugline/plugline.toml").exists() {
            let told = ended(plugline(&[verb]).current_dir(folder.path())).await;
            assert_eq!(told.code, Some(1));
            for part in ["./plugline.toml", "/etc/plugline/plugline.toml", "--config"] {
                assert!(told.err.contains(part), "{part} in {}", told.err);
            }
        }
        let told = run(&[verb, "--config", "/nowhere/x.toml"]).await;
        assert_eq!(told.code, Some(1));
        assert!(told.err.contains("/nowhere/x.toml"), "{}", told.err);
    }
    std::fs::write(folder.path().join("plugline.toml"), GOOD).expect("written");
    assert_eq!(ended(plugline(&["check-config"]).current_dir(folder.path())).await.code, Some(0));
}

/// `check-config` of a text with one more variable in the environment.
async fn check_with(text: &str, name: &str, value: &OsStr) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plugline.toml");
    std::fs::write(&path, text).expect("written");
    ended(plugline(&["check-config"]).env("PLUGLINE_CONFIG", &path).env(name, value)).await
}

#[tokio::test]
async fn the_environment_overrides_and_is_named_when_it_is_wrong() {
    let text = format!("# a comment\n\n{GOOD}");
    let other_port = OsStr::new("127.0.0.1:9000");
    let told = check_with(&text, "PLUGLINE__HTTP__LISTEN", other_port).await;
    assert!(told.code == Some(0) && told.out.contains("http: 127.0.0.1:9000"), "{}{}", told.out, told.err);

    let told = check_with(&text, "PLUGLINE__HTTP__LISTN", other_port).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("PLUGLINE__HTTP__LISTN") && told.err.contains("`listen`"), "{}", told.err);

    let told = check_with(&text, "PLUGLINE__HTTP__LISTEN", OsStr::new("here")).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("PLUGLINE__HTTP__LISTEN") && told.err.contains("`here`"), "{}", told.err);
    assert!(!told.err.contains("line "), "it stands in no line of the file: {}", told.err);

    // Somebody else's variable that is no text is nobody's business; one of ours is told of.
    let told = check_with(&text, "SOMETHING", OsStr::from_bytes(b"\xff")).await;
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""));
    let told = check_with(&text, "PLUGLINE__HTTP__LISTEN", OsStr::from_bytes(b"\xff")).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("PLUGLINE__HTTP__LISTEN"), "{}", told.err);

    // A mistake in the file stands where it stands in the file, whatever the environment adds.
    let told = check_with(&format!("{text}baud = 1\n"), "PLUGLINE__HTTP__LISTEN", other_port).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("line 6, column 8"), "{}", told.err);
}

/// Asking for the kettle's power, and the answer of a closed relay.
const ASK: &str = "68 11 47 00 00 00 00 68 11 04 33 33 36 35 0E 16";
const CLOSED: &str = "68 11 47 00 00 00 00 68 91 06 36 38 33 37 33 33 FD 16";

/// `decode dlt645 -` of these lines.
async fn decoded(lines: &str) -> (Option<i32>, Vec<Value>) {
    let mut command = plugline(&["decode", "dlt645", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(lines.as_bytes()).await.expect("written");
    drop(stdin);
    let output = within("decode", child.wait_with_output()).await.expect("it ran");
    (output.status.code(), json_lines(&String::from_utf8(output.stdout).expect("text")))
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn oks(frames: &[Value]) -> Vec<bool> {
    frames.iter().map(|frame| frame["ok"] == true).collect()
}

#[tokio::test]
async fn decode_tells_each_frame_on_a_line_and_its_exit_code_whether_all_were_good() {
    let told = run(&["decode", "dlt645", ASK, &CLOSED.replace(' ', "")]).await;
    let frames = json_lines(&told.out);
    assert_eq!((told.code, oks(&frames)), (Some(0), vec![true, true]), "{}", told.out);
    assert!(frames.iter().all(|frame| frame["address"] == "000000004711"), "{frames:?}");

    let told = run(&["decode", "dlt645", ASK, &CLOSED.replace("FD", "FE"), "68 1", "zz"]).await;
    let frames = json_lines(&told.out);
    assert_eq!((told.code, oks(&frames)), (Some(1), vec![true, false, false, false]));
    assert_eq!(frames[1]["error"]["kind"], "checksum");

    // Two frames in three chunks, with noise before the second.
    let chunks =
        "68 11 47 00 00 00 00\n68 11 04 33 33 36 35 0E 16 00 01\n68114700000000689106363833373333FD16\n";
    let (code, frames) = decoded(chunks).await;
    assert_eq!((code, oks(&frames)), (Some(1), vec![true, false, true]), "{frames:?}");
    assert_eq!(frames[1]["error"]["kind"], "garbage");
    let (code, frames) = decoded(&format!("{ASK}\n{CLOSED}\n")).await;
    assert_eq!((code, oks(&frames)), (Some(0), vec![true, true]));

    let told = run(&["decode", "x10", "00"]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("dlt645, insteon"), "{}", told.err);
    assert_eq!(run(&["decode", "dlt645"]).await.code, Some(2), "an argument is missing");
}

#[tokio::test]
async fn the_verbs_find_the_gateway_by_its_state_folder() {
    let site = Site::new();
    let state = site.store.to_str().expect("text");
    let told = run(&["sockets", "--state", state]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains(state) && told.err.contains("no gateway runs"), "{}", told.err);

    let gateway = site.run().await;
    gateway.devices().await;
    let told = run(&["sockets", "--json", "--state", state]).await;
    let devices: Value = serde_json::from_str(&told.out).expect("JSON");
    let devices = devices.as_array().expect("a list").iter();
    let names: Vec<&str> = devices.filter_map(|device| device["name"].as_str()).collect();
    assert_eq!((told.code, names), (Some(0), vec!["Kettle", "Fridge", "Desk"]));
    let told = run(&["sockets", "--state", state]).await;
    assert!(told.out.contains(&format!("Kettle  {KETTLE}  on ")), "{}", told.out);

    let by_config = ended(plugline(&["sockets"]).env("PLUGLINE_CONFIG", site.config())).await;
    assert!(by_config.out.contains("Kettle"), "{}", by_config.err);

    let follower =
        Program::start(&mut plugline(&["events", "--since", "earliest", "--json", "--state", state]));
    follower.out.first("a reading", |line| line.contains(r#""kind":"reading""#)).await;
    let events: Vec<Value> = json_lines(&follower.out.all().join("\n"));
    for (before, event) in (0..).zip(&events) {
        assert_eq!(seq(event), before + 1, "{event}");
    }
    assert_eq!(events[0]["data"]["event"], "started");

    for (arguments, words) in [
        (["on", "Kettel", "--state", state], "no socket has the id or the name `Kettel`"),
        (["events", "--since=abc", "--state", state], "400"),
        (["off", "Kettle", "--url", "http://127.0.0.1:1"], "plugline run"),
        (["off", "Kettle", "--url", "ftp://x"], "http://127.0.0.1:8480"),
    ] {
        let told = run(&arguments).await;
        assert_eq!(told.code, Some(1), "{arguments:?}");
        assert!(told.err.contains(words), "{}", told.err);
    }
    let told = run(&["on", "Kettle", "Desk", "--json", "--state", state]).await;
    let commands = json_lines(&told.out);
    assert_eq!((told.code, commands.len()), (Some(0), 2), "{}", told.err);
    assert!(commands.iter().all(|command| command["state"] == "confirmed"), "{commands:?}");
}

#[tokio::test]
async fn logs_are_plain_text_where_nobody_looks_and_json_on_request() {
    let site = Site::new();
    let mut command = site.command();
    let gateway = Program::start(command.env_remove("PLUGLINE_LOG_FORMAT"));
    gateway.log.has("running").await;
    let lines = gateway.log.all();
    assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "{lines:#?}");
    assert_eq!(gateway.stop("TERM").await.code(), Some(0));
    let gateway = site.run().await;
    assert!(!json_lines(&gateway.program.log.all().join("\n")).is_empty());
    assert!(gateway.program.out.all().is_empty(), "standard output is for what was asked for");
}
