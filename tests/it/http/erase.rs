//! `DELETE …/readings`: what is asked of the hub, and that readers of the feed pass over what is gone.

use plugline::device::{DeviceId, Quantity, Reading};
use plugline::hub::erase::Erase;
use plugline::hub::{Given, Refused, Request};
use serde_json::json;

use super::lab::{Lab, device};

async fn ask(lab: &mut Lab, path: &str, answer: Result<Given, Refused>) -> (super::lab::Reply, Request) {
    let asked = lab.send_later(&format!("DELETE {path} HTTP/1.1\r\n"));
    let envelope = lab.request().await;
    envelope.answer.send(answer).expect("somebody waits");
    (asked.await.expect("no panic"), envelope.request)
}

#[tokio::test]
async fn an_erasure_is_answered_with_what_went_and_a_failure_says_so() {
    let mut lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    let (reply, asked) = ask(&mut lab, "/v1/devices/dlt645_1/readings", Ok(Given::Erased(12))).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "erased": 12 })));
    let id = DeviceId::parse("dlt645_1").expect("an id");
    assert_eq!(asked, Request::Erase(Erase::Of(id)));
    let failed = Err(Refused::NotErased("no space left on device".into()));
    let (reply, asked) = ask(&mut lab, "/v1/readings?before=1970-01-01T00:00:01Z", failed).await;
    assert_eq!((reply.problem().1, reply.status), ("not-erased".to_owned(), 503));
    assert_eq!(asked, Request::Erase(Erase::Before(1000)));
    for (path, status, field) in [
        ("/v1/readings", 400, json!("before")),
        ("/v1/readings?before=monday", 400, json!("before")),
        ("/v1/devices/dlt645_2/readings", 404, json!(null)),
    ] {
        let (got, _, at) = lab.ask(&format!("DELETE {path} HTTP/1.1\r\n"), "").await.problem();
        assert_eq!((got, at), (status, field), "{path}");
    }
}

#[tokio::test]
async fn readers_pass_over_what_is_erased_as_over_what_their_filter_skips() {
    let lab = Lab::new().await;
    for index in 0..5 {
        lab.measured("a", 1000 + index, Reading::of(Quantity::Energy, index));
    }
    lab.reading("b");
    lab.measured("a", 2000, Reading::of(Quantity::Energy, 9));
    let id = DeviceId::parse("a").expect("an id");
    let mut stream = lab.stream("/v1/events?after=earliest").await;
    assert!(stream.block().await.expect("the hello").contains("event: hello"));
    assert_eq!(lab.keeper.erase(&Erase::Of(id)).len(), 1);
    let page = lab.get("/v1/events?after=earliest").await;
    assert_eq!((page.seqs(), &page.json()["cursor"]), (vec![6], &json!("k3f9q2mz.7")));
    assert!(lab.get("/v1/events?after=earliest&kind=erased").await.seqs().is_empty());
    let mut live = lab.stream("/v1/events?after=k3f9q2mz.1").await;
    assert!(live.block().await.expect("the hello").contains("event: hello"));
    assert!(live.block().await.expect("an event").starts_with("id: k3f9q2mz.6\n"));
}
