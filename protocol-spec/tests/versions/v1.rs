//! Version 1 as bytes, for ever. Sockets in walls speak these; if a test here fails, revert the change, not this file.

use plugline_protocol::hostlink::Deframer;

use crate::world::{judge, unhex};

/// Name, counter that a short frame is about, frame on the line with its CRC, in the world of `security.md` §5.10.
const FRAMES: [(&str, Option<u32>, &str); 18] = [
    ("report", None, "44004A1700120000123417AAB4E38BD5DB0D7EB723BA1451AC735DA0A4D431D3F27358689BE4FA257A"),
    (
        "report-event",
        None,
        "46004A1700120000123690CB429C33432A49A776A3B3CB24164F367A3F91B2D4A8BEA5C9079ED18EEA",
    ),
    (
        "report-extensions",
        None,
        "44004A17001200001639A0585B463592B17193DF07206485C9A80395AE452A9C8E3D3CD9E9082E76839E60FA27 \
         8D693545CBAB5C4A",
    ),
    ("command-on", None, "48004A17001200000051F82F304FE70760E0AB692172519008E8"),
    ("command-off", None, "49224A1700120000005255E814C5F543F9D3E0669D28670D2468"),
    ("command-sync", None, "48004A17001200000059243291DE63540635AE45B4456960587D8C6910"),
    (
        "command-group-key",
        None,
        "48004A1700120000005CEADBB61797A4F438CDBED94EC5D19FB62C26D217F59BB13FFB49DDD7D959B1F2CA0B17",
    ),
    ("response-reading", None, "4C004A17001200001640D01148552E8F53C946E9E21FCBC712BB4B956AEC9D1F25F308FB57"),
    ("response-stale", None, "4C004A1700120000164157844EC8E3F10C4793B0DAB614"),
    ("answer-on", Some(0x51), "50004A170012517F5ED9EF60298C"),
    ("ack", Some(0x1236), "54004A170012360A4A05DEA265"),
    ("beacon", None, "40004A17000000000007F8AE1289A896701AF8098A16EF5786D4834BDA5054A04DA74F4D"),
    ("beacon-quiet", None, "40004A170000000000086E6D8DB67A36200761DB8D3E62449330283B76FAD55D0136881A"),
    ("join-up", None, "5800FFFFFFFF02A0B1FFFE001234001301071011121314151617C2A321BCCA651387BCBF"),
    (
        "join-down",
        None,
        "5C004A17001202A0B1FFFE00123420212223242526279A9B9BFA5454EEFE47D40A8C1CA54175A51535BC61749F \
         92B37C7C8912CFF75E",
    ),
    ("resume-ask", None, "60004A1700124041424344454647445DF1F7C451D7E71212"),
    ("resume-up", None, "64004A1700123031323334353637A0302C3F966F2AD9126E"),
    ("resume-down", None, "68004A1700123D010B5FAB4BEA228717EE36C7300D22C5D416F46432D7824E0B61B7568D4770"),
];

/// Packets of the host link, version 1.
const PACKETS: [(&str, &str); 8] = [
    ("reset", "000201060107B24E3700"),
    ("hello", "0002020201010104050102010709600E017E04010101010801E240157120A700"),
    (
        "tx-req",
        "000320020101010101041E848001010101052625A048034A17021201011451F82F304FE70760E0AB6921725190 \
         B2DB240900",
    ),
    ("tx-conf", "00042302010101010104203F360701BAB63565640100"),
    (
        "rx-ind",
        "000521031947010101010534BF1544034A1702120124123417AAB4E38BD5DB0D7EB723BA1451AC735DA0A4D431 \
         D3F27358689BE4FA1594E7E700",
    ),
    ("cancel", "0008220603A5A8D0B400"),
    ("status-req", "00072407E791AA1400"),
    ("status", "00032507010101040393870101010278010102030101020E010101010108520801D417988300"),
];

#[test]
fn frames_of_version_1_are_still_read() {
    for (name, about, hex) in FRAMES {
        let read = judge(&unhex(hex), about).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        let kind = read["frame"].as_str().unwrap().replace('_', "-");
        assert!(name.starts_with(&kind), "{name} is read as {kind}");
    }
}

#[test]
fn frames_of_version_1_are_still_what_the_vectors_say() {
    let vectors = crate::vectors::load("frames");
    for (name, _, hex) in FRAMES {
        let vector = vectors.iter().find(|vector| vector["id"] == name).unwrap();
        assert_eq!(unhex(vector["hex"].as_str().unwrap()), unhex(hex), "{name}");
    }
}

#[test]
fn packets_of_version_1_are_still_read() {
    for (name, hex) in PACKETS {
        let mut deframer = Deframer::new();
        let packets = unhex(hex).iter().filter(|byte| matches!(deframer.push(**byte), Some(Ok(_)))).count();
        assert_eq!(packets, 1, "{name}");
    }
}
