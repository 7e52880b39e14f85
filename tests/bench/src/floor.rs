//! The least program that does it: tokio-serial, a frame by its fixed places and its check, rumqttc or a bare socket.
//! No registry, no log, no retries; a process of its own, as the gateway is.

use anyhow::Context;
use plugline::line::insteon::checksum::crc16;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_serial::SerialPortBuilderExt;

use crate::frames::Dialect;

/// Where readings go.
enum Sink {
    Mqtt(AsyncClient),
    Sse(TcpStream),
}

/// `PORT mqtt|sse TCP-PORT DIALECT`.
pub(crate) async fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [port, way, tcp, dialect] = arguments else { anyhow::bail!("floor: PORT mqtt|sse TCP-PORT DIALECT") };
    let frame = if dialect == Dialect::Insteon.name() { insteon } else { dlt645 };
    let tcp: u16 = tcp.parse()?;
    let mut serial = tokio_serial::new(port, 2400).open_native_async()?;
    let mut sink = match way.as_str() {
        "mqtt" => mqtt(tcp),
        _ => sse(tcp).await?,
    };
    let mut buffer = Vec::with_capacity(8192);
    loop {
        anyhow::ensure!(serial.read_buf(&mut buffer).await? > 0, "the port is gone");
        let mut at = 0;
        while let Some((meter, power, len)) = frame(&buffer[at..]) {
            at += len;
            put(&mut sink, &meter, power).await?;
        }
        buffer.drain(..at);
    }
}

fn mqtt(port: u16) -> Sink {
    let mut options = MqttOptions::new(format!("floor-{}", std::process::id()), "127.0.0.1", port);
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network).set_outgoing_inflight_upper_limit(100);
    let (client, mut events) = AsyncClient::new(options, 100);
    tokio::spawn(async move { while events.poll().await.is_ok() {} });
    Sink::Mqtt(client)
}

async fn sse(port: u16) -> anyhow::Result<Sink> {
    let (mut stream, _) = TcpListener::bind(("127.0.0.1", port)).await?.accept().await?;
    stream.set_nodelay(true)?;
    let mut request = [0; 1024];
    anyhow::ensure!(stream.read(&mut request).await? > 0, "a request comes first");
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await?;
    Ok(Sink::Sse(stream))
}

async fn put(sink: &mut Sink, meter: &str, power: u32) -> anyhow::Result<()> {
    let reading = format!("{{\"power_w\":{}.{}}}", power / 10, power % 10);
    match sink {
        Sink::Mqtt(client) => {
            let topic = format!("floor/floor/device/{meter}/reading");
            client.publish(topic, QoS::AtLeastOnce, true, reading).await.context("the broker is gone")
        }
        Sink::Sse(stream) => {
            let event = format!("id: 1\nevent: reading\ndata: {reading}\n\n");
            Ok(stream.write_all(event.as_bytes()).await?)
        }
    }
}

/// The meter, its power in 0.1 W and the length of the frame at the front.
fn dlt645(bytes: &[u8]) -> Option<(String, u32, usize)> {
    let len = usize::from(*bytes.get(9)?) + 12;
    let frame = bytes.get(..len)?;
    let sum = frame[..len - 2].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let good = frame[0] == 0x68 && frame[7] == 0x68 && sum == frame[len - 2];
    let meter = frame[1..7].iter().rev().map(|byte| format!("{byte:02x}")).collect();
    let power = frame[14..len - 2].iter().rev().fold(0, |number, byte| {
        let plain = byte.wrapping_sub(0x33);
        number * 100 + u32::from(plain >> 4) * 10 + u32::from(plain & 15)
    });
    good.then_some((meter, power, len))
}

/// The same of a modem's extended message.
fn insteon(bytes: &[u8]) -> Option<(String, u32, usize)> {
    let frame: &[u8; 25] = bytes.first_chunk()?;
    let data = frame.last_chunk::<14>()?;
    let good = frame[..2] == [0x02, 0x51] && crc16(frame[9], frame[10], data).to_be_bytes() == data[12..];
    let meter = frame[2..5].iter().map(|byte| format!("{byte:02x}")).collect();
    let watts = u16::from_be_bytes([data[6], data[7]]);
    good.then_some((meter, u32::from(watts) * 10, frame.len()))
}
