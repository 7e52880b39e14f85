//! PEM texts as people have them.

use super::*;

fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["box".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn refusal<T: std::fmt::Debug>(result: Result<T, BadPem>) -> String {
    result.expect_err("it is bad").to_string()
}

#[test]
fn certificate_and_key_may_stand_in_one_file() {
    let (cert, secret) = pair();
    let both = format!("some words\n{secret}{cert}");
    let client =
        Client::new(certificates(&both).expect("one"), key(&both).expect("one")).expect("they belong");
    let roots = Roots::parse(&both).expect("one");
    assert!(config(roots, Some(client)).expect("it is right").client_auth_cert_resolver.has_certs());
}

#[test]
fn a_damaged_file_says_what_is_damaged() {
    let (cert, secret) = pair();
    let cut = &cert[..cert.len() / 2];
    assert!(refusal(certificates(cut)).contains("-----END"));
    assert!(refusal(key(&secret[..secret.len() / 2])).contains("-----END"));
    let scratched = cert.replacen('M', "*", 1);
    assert!(refusal(certificates(&scratched)).contains("base64"));
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(refusal(Roots::parse(&format!("{cert}{hollow}"))).starts_with("certificate 2: "));
    assert!(refusal(certificates("")).starts_with("holds no certificate"));
}

#[test]
fn an_encrypted_key_says_how_to_get_a_plain_one() {
    let body = "AAAA\n-----END";
    for pem in [
        format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body} ENCRYPTED PRIVATE KEY-----\n"),
        format!(
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n{body} RSA PRIVATE KEY-----\n"
        ),
    ] {
        assert!(refusal(key(&pem)).contains("openssl pkey"), "{}", refusal(key(&pem)));
    }
}

#[test]
fn a_key_whose_line_breaks_are_lost_is_refused_without_being_shown() {
    let (_, secret) = pair();
    let hush = secret.lines().nth(1).expect("its first line");
    for flat in [secret.replace('\n', ""), secret.replace('\n', " ")] {
        let text = refusal(key(&flat));
        assert!(text.starts_with("not PEM") && !text.contains(&hush[..8]), "{text}");
    }
}

#[test]
fn no_certificates_of_the_system_are_no_roots() {
    assert!(Roots::of_system(Vec::new()).is_none());
}
