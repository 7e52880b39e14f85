//! MQTT over TLS against real mosquittos: certificates made here, good ones and every bad one that people have.

use std::path::{Path, PathBuf};

use plugline::mqtt::{Address, BrokerChoice, ClientFiles, Settings};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;

use crate::mqtt::{Edge, House, health};
use crate::parts::{Mosquitto, free_port};

/// A CA of a home.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate with its key.
    fn sign(&self, names: &[&str], expired: bool) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2019, 2, 3), date_time_ymd(2020, 2, 3));
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A home with a CA, a server's certificate and whatever a test puts there.
struct Home {
    folder: TempDir,
    ca: Authority,
    port: u16,
}

impl Home {
    fn new() -> Self {
        let home =
            Self { folder: tempfile::tempdir().unwrap(), ca: Authority::new("Home CA"), port: free_port() };
        home.put("ca.pem", &home.ca.0.pem());
        home.serve_with(&home.ca.sign(&["127.0.0.1", "localhost"], false));
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn serve_with(&self, (cert, key): &(String, String)) {
        self.put("server.pem", cert);
        self.put("server.key", key);
    }

    /// What we show from now on.
    fn be(&self, (cert, key): &(String, String)) -> ClientFiles {
        ClientFiles { cert: self.put("client.pem", cert), key: self.put("client.key", key) }
    }

    async fn broker(&self, login: Option<(&str, &str)>, more: &str) -> Mosquitto {
        self.broker_up_to("TLSv1.3", login, more).await
    }

    /// mosquitto itself can only be told the oldest version that it speaks.
    async fn broker_up_to(&self, version: &str, login: Option<(&str, &str)>, more: &str) -> Mosquitto {
        let shown = |name| self.path(name).display().to_string();
        let (ca, cert, key) = (shown("ca.pem"), shown("server.pem"), shown("server.key"));
        let tls = format!("cafile {ca}\ncertfile {cert}\nkeyfile {key}\n{more}");
        let openssl = format!(
            "openssl_conf = all\n[all]\nssl_conf = modules\n[modules]\nsystem_default = tls\n[tls]\n\
             MaxProtocol = {version}\n"
        );
        let environment = [("OPENSSL_CONF", self.put("openssl.cnf", &openssl))];
        Mosquitto::configured(self.port, login, &tls, &environment).await
    }

    /// The broker's address, believing `ca`.
    fn address(&self, ca: Option<&Path>) -> Address {
        let mut address: Address = format!("mqtts://127.0.0.1:{}", self.port).parse().unwrap();
        address.tls.as_mut().unwrap().ca_file = ca.map(Path::to_owned);
        address
    }

    fn trusted(&self) -> Address {
        self.address(Some(&self.path("ca.pem")))
    }
}

fn with_client(mut address: Address, client: ClientFiles) -> Address {
    address.tls.as_mut().unwrap().client = Some(client);
    address
}

fn with_login(mut address: Address, login: &str) -> Address {
    address.login = format!("mqtts://{login}@host").parse::<Address>().unwrap().login;
    address
}

/// A gateway on its way to a broker.
struct Gateway {
    house: House,
    edge: Edge,
}

impl Gateway {
    fn towards(address: Address) -> Self {
        let house = House::new();
        let edge = Edge::start(house.door(), Settings::new(BrokerChoice::External(address)));
        Self { house, edge }
    }

    async fn says(&self, word: &str) -> String {
        health(&self.house.door(), word).await
    }
}

/// Health says all of `words`, names the broker, and when it is tried again.
async fn is_told(address: Address, words: &[&str]) {
    let place = address.to_string();
    let gateway = Gateway::towards(address);
    // A reset may swallow the reason of a first try; the next one has it.
    let text = gateway.says(words[0]).await;
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    assert!(text.starts_with(&format!("broken: {place}: ")) && text.contains("next try in"), "{text}");
    gateway.edge.stop().await;
}

const DEMANDED: &str = "require_certificate true\nuse_identity_as_username true\n";

#[tokio::test]
async fn a_broker_with_a_certificate_of_the_own_ca_is_believed() {
    let home = Home::new();
    let _broker = home.broker(None, "").await;
    let gateway = Gateway::towards(home.trusted());
    gateway.says("good: connected to 127.0.0.1").await;
    gateway.edge.stop().await;
}

#[tokio::test]
async fn a_password_goes_over_tls_and_a_wrong_one_is_said_plainly() {
    let home = Home::new();
    let _broker = home.broker(Some(("ha", "right")), "").await;
    is_told(with_login(home.trusted(), "ha:hush"), &["wrong user or password", "`ha`"]).await;
    let gateway = Gateway::towards(with_login(home.trusted(), "ha:right"));
    gateway.says("good").await;
    gateway.edge.stop().await;
}

#[tokio::test]
async fn a_broker_that_demands_a_client_certificate_gets_it_or_health_says_what_to_set() {
    for version in ["TLSv1.2", "TLSv1.3"] {
        let home = Home::new();
        let _broker = home.broker_up_to(version, None, DEMANDED).await;
        is_told(home.trusted(), &["demands a client certificate; set `client_cert_file`"]).await;
        let client = home.be(&home.ca.sign(&["plugline"], false));
        let gateway = Gateway::towards(with_client(home.trusted(), client));
        gateway.says("good").await;
        gateway.edge.stop().await;
    }
}

#[tokio::test]
async fn a_refused_client_certificate_is_named_and_its_successor_is_used_at_the_next_try() {
    for version in ["TLSv1.2", "TLSv1.3"] {
        let home = Home::new();
        let _broker = home.broker_up_to(version, None, DEMANDED).await;
        let client = home.be(&home.ca.sign(&["plugline"], true));
        let gateway = Gateway::towards(with_client(home.trusted(), client));
        let refused = format!("refuses our client certificate {}", home.path("client.pem").display());
        gateway.says(&format!("{refused}: expired")).await;
        home.be(&Authority::new("Another CA").sign(&["plugline"], false));
        gateway.says(&format!("{refused}: from a CA that it does not know")).await;
        home.be(&home.ca.sign(&["plugline"], false));
        gateway.says("good").await;
        gateway.edge.stop().await;
    }
}

#[tokio::test]
async fn a_broker_of_a_foreign_ca_is_not_believed_until_that_ca_is_in_the_file() {
    let home = Home::new();
    let _broker = home.broker(None, "").await;
    let theirs = home.put("believed.pem", &Authority::new("Another CA").0.pem());
    let gateway = Gateway::towards(home.address(Some(&theirs)));
    let text = gateway.says("does not come from").await;
    assert!(text.contains(&format!("does not come from the CA in {}", theirs.display())), "{text}");
    std::fs::remove_file(&theirs).unwrap();
    let text = gateway.says("No such file").await;
    assert!(text.contains("believed.pem"), "{text}");
    home.put("believed.pem", "once a certificate");
    gateway.says("holds no certificate").await;
    home.put("believed.pem", &home.ca.0.pem());
    gateway.says("good").await;
    gateway.edge.stop().await;
}

#[tokio::test]
async fn without_a_ca_file_a_home_broker_is_not_believed_and_health_says_what_to_set() {
    let home = Home::new();
    let _broker = home.broker(None, "").await;
    is_told(home.address(None), &["set `ca_file`"]).await;
}

#[tokio::test]
async fn an_expired_broker_certificate_is_told_with_its_day() {
    let home = Home::new();
    home.serve_with(&home.ca.sign(&["127.0.0.1"], true));
    let _broker = home.broker(None, "").await;
    is_told(home.trusted(), &["expired on 2020-02-03"]).await;
}

#[tokio::test]
async fn a_broker_certificate_for_another_host_is_told_with_its_names() {
    let home = Home::new();
    home.serve_with(&home.ca.sign(&["box.lan", "10.0.0.7"], false));
    let _broker = home.broker(None, "").await;
    is_told(home.trusted(), &["is for `box.lan`, `10.0.0.7`, not for `127.0.0.1`"]).await;
}

#[tokio::test]
async fn a_broker_certificate_without_names_is_told_so() {
    let home = Home::new();
    home.serve_with(&home.ca.sign(&[], false));
    let _broker = home.broker(None, "").await;
    is_told(home.trusted(), &["names no host", "`subjectAltName`"]).await;
}

#[tokio::test]
async fn a_broker_that_shows_the_certificate_of_the_ca_itself_is_told_so() {
    let home = Home::new();
    home.serve_with(&(home.ca.0.pem(), home.ca.0.key().serialize_pem()));
    let _broker = home.broker(None, "").await;
    is_told(home.trusted(), &["is that of a CA itself"]).await;
}

#[tokio::test]
async fn the_wrong_one_of_two_ports_is_told_apart() {
    let home = Home::new();
    let _plain = Mosquitto::start(home.port, None).await;
    is_told(home.trusted(), &["is this", "port with TLS (mostly 8883)?"]).await;
    let home = Home::new();
    let _tls = home.broker(None, "").await;
    is_told(format!("mqtt://127.0.0.1:{}", home.port).parse().unwrap(), &["`mqtts://`"]).await;
}

#[tokio::test]
async fn a_broker_that_answers_in_the_clear_is_told_so() {
    let home = Home::new();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", home.port)).await.unwrap();
    let talker = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 no MQTT here\r\n").await;
        }
    });
    is_told(home.trusted(), &["the answer is not TLS"]).await;
    talker.abort();
}

#[tokio::test]
async fn a_tls_broker_that_was_killed_is_found_again() {
    let home = Home::new();
    let broker = home.broker(None, "").await;
    let gateway = Gateway::towards(home.trusted());
    gateway.says("good").await;
    broker.kill();
    gateway.says("broken").await;
    let _broker = home.broker(None, "").await;
    gateway.says("good").await;
    gateway.edge.stop().await;
}
