//! The command line's verbs against a real server.

use std::process::ExitCode;
use std::sync::Arc;

use plugline::cli::client::Client;
use plugline::cli::switch::Wanted;
use plugline::cli::{events, sockets, switch};
use plugline::hub::command::{Action, State};
use plugline::hub::{Given, Request};
use plugline::line::Outcome;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::lab::{Lab, PATIENCE, command, device, seq};

fn client(lab: &Lab) -> Client {
    Client::new(&format!("http://{}", lab.address)).expect("an address")
}

#[tokio::test]
async fn sockets_prints_a_table_or_the_devices() {
    let lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    let (mut table, mut json) = (Vec::new(), Vec::new());
    sockets::run(&client(&lab), false, &mut table).await.expect("a table");
    sockets::run(&client(&lab), true, &mut json).await.expect("JSON");
    let table = String::from_utf8(table).expect("text");
    assert!(table.contains("Kettle  dlt645_1  on     41.7 W  -       yes"), "{table}");
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json[0]["id"], "dlt645_1");
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_said_with_the_way_out() {
    let address = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let client = Client::new(&format!("http://{address}")).expect("an address");
    let error = sockets::run(&client, false, &mut Vec::new()).await.expect_err("nobody listens");
    assert!(error.to_string().contains("plugline run"), "{error:#}");
    assert!(Client::new("https://x").is_err() && Client::new("nonsense").is_err());
}

/// Plays the loop for one command that ends in a state.
async fn switched(name: &str, confirmed: bool) -> (ExitCode, String) {
    let mut lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    let client = client(&lab);
    let devices = [name.to_owned()];
    let mut out = Vec::new();
    let hub = async {
        let envelope = lab.request().await;
        let Request::Command(new) = &envelope.request else { panic!("no command") };
        assert_eq!(new.device.as_str(), "dlt645_1");
        let mut taken = command(Action::Switch { on: true });
        lab.keeper.show_command(Arc::new(taken.clone()));
        envelope.answer.send(Ok(Given::from(Arc::new(taken.clone())))).expect("somebody waits");
        if confirmed {
            taken.enter(State::Confirmed, 1_795_000_000_900);
        } else {
            taken.fail(Outcome::Unknown, "silent", "no answer from the meter", 1_795_000_000_900);
        }
        lab.keeper.show_command(Arc::new(taken));
        lab.note("its event");
    };
    let (code, ()) = tokio::join!(switch::run(&client, Wanted::On, &devices, false, &mut out), hub);
    (code.expect("asked"), String::from_utf8(out).expect("text"))
}

#[tokio::test]
async fn on_waits_for_the_outcome_and_its_exit_code_tells_it() {
    let (code, out) = switched("Kettle", true).await;
    assert_eq!((code, out.as_str()), (ExitCode::SUCCESS, "Kettle (dlt645_1): on confirmed\n"));
    let (code, out) = switched("dlt645_1", false).await;
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(out, "Kettle (dlt645_1): on failed, perhaps done: no answer from the meter\n");
}

#[tokio::test]
async fn a_group_is_told_with_how_each_member_ended() {
    let mut lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    lab.keeper.show_device(device("group_all", "All"));
    let client = client(&lab);
    let mut out = Vec::new();
    let hub = async {
        let envelope = lab.request().await;
        let mut taken = command(Action::Switch { on: true });
        let mut part = command(Action::Switch { on: true });
        part.fail(Outcome::Unknown, "silent", "no answer", 1_795_000_000_900);
        taken.parts = vec![(&part).into()];
        taken.conclude(1_795_000_000_900);
        let taken = Arc::new(taken);
        lab.keeper.show_command(Arc::clone(&taken));
        envelope.answer.send(Ok(Given::from(taken))).expect("somebody waits");
    };
    let devices = ["All".to_owned()];
    let (code, ()) = tokio::join!(switch::run(&client, Wanted::On, &devices, false, &mut out), hub);
    assert_eq!(code.expect("asked"), ExitCode::FAILURE);
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "All (group_all): on failed, perhaps done: 1 of 1 members not confirmed: dlt645_1 (silent)\n  \
         Kettle: failed, perhaps done: no answer\n"
    );
}

#[tokio::test]
async fn a_misspelt_device_switches_nothing() {
    let mut lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    let devices = ["Kettle".to_owned(), "Kettel".to_owned()];
    let error =
        switch::run(&client(&lab), Wanted::On, &devices, false, &mut Vec::new()).await.expect_err("misspelt");
    assert!(error.to_string().contains("Kettel"), "{error:#}");
    assert!(lab.requests.try_recv().is_err());
}

/// Output whose lines can be waited for; closed when nobody listens.
struct Lines(mpsc::UnboundedSender<String>, String);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.push_str(&String::from_utf8_lossy(bytes));
        while let Some((line, rest)) = self.1.clone().split_once('\n') {
            self.0.send(line.to_owned()).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
            self.1 = rest.to_owned();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Stands between client and server and breaks every connection after some bytes of the answer.
async fn cutter(to: std::net::SocketAddr, bytes: usize) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(to).await.expect("the server");
            let mut request = [0; 4096];
            let length = near.read(&mut request).await.expect("a request");
            far.write_all(&request[..length]).await.expect("sent");
            let mut left = bytes;
            let mut piece = [0; 256];
            while left > 0 {
                let room = left.min(piece.len());
                let length = far.read(&mut piece[..room]).await.expect("an answer");
                // A client that is gone is no concern of ours.
                if length == 0 || near.write_all(&piece[..length]).await.is_err() {
                    break;
                }
                left -= length;
            }
        }
    });
    address
}

#[tokio::test]
async fn events_goes_on_after_every_cut_without_losing_or_repeating_one() {
    let lab = Lab::new().await;
    for _ in 0..12 {
        lab.reading("a");
    }
    let through = cutter(lab.address, 1500).await;
    let client = Client::new(&format!("http://{through}")).expect("an address");
    let (lines, mut printed) = mpsc::unbounded_channel();
    let verb = tokio::spawn(async move {
        events::run(&client, "earliest", true, &mut Lines(lines, String::new())).await
    });
    for wanted in 1..=12 {
        let line = timeout(PATIENCE, printed.recv()).await.expect("in time").expect("a line");
        let event: Value = serde_json::from_str(&line).expect("an Event");
        assert_eq!(seq(event["id"].as_str().expect("an id")), wanted);
    }
    drop(printed);
    lab.reading("a");
    let code = timeout(PATIENCE, verb).await.expect("it ends when nobody reads").expect("no panic");
    assert_eq!(code.expect("no error"), ExitCode::SUCCESS);
}

#[tokio::test]
async fn events_says_what_was_lost_and_goes_on() {
    let lab = Lab::new().await;
    lab.reading("a");
    let client = client(&lab);
    let (lines, mut printed) = mpsc::unbounded_channel();
    let verb = tokio::spawn(async move {
        events::run(&client, "zzzzzzzz.4", false, &mut Lines(lines, String::new())).await
    });
    let lost = timeout(PATIENCE, printed.recv()).await.expect("in time").expect("a line");
    assert!(lost.contains("events were missed") && lost.contains("k3f9q2mz.1"), "{lost}");
    lab.reading("a");
    let live = timeout(PATIENCE, printed.recv()).await.expect("in time").expect("a line");
    assert!(live.contains("k3f9q2mz.2  reading"), "{live}");
    verb.abort();
    let nowhere = Client::new("http://127.0.0.1:1").expect("an address");
    let bad = events::run(&nowhere, "a&b", false, &mut Vec::new()).await.expect_err("no cursor");
    assert!(bad.to_string().contains("a&b"), "{bad:#}");
}
