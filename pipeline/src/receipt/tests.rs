use super::*;
use vswitch::fdb::HashKey;
use vswitch::{HostAccess, PortConfig, SwitchConfig, SwitchType, Vswitch};

fn graph(host: bool) -> Graph {
    let mut ports = vec![PortConfig::guest(1, "one"), PortConfig::guest(2, "two")];
    let mut ty = SwitchType::Private;
    if host {
        ty = SwitchType::Internal;
        ports.push(PortConfig::host(3, "host", HostAccess::grant("test")));
    }
    let config = SwitchConfig { ty, ports, ..SwitchConfig::default() };
    Vswitch::new(config, HashKey::new([1, 2])).unwrap().graph()
}

fn terms(delivered: u64) -> Map<String, Value> {
    let Value::Object(terms) = json!({
        "in": 10, "originated": 0, "cloned": 2, "split": 0, "delivered": delivered,
        "dropped": {"same-port": 3}, "consumed": 0, "merged": 0, "held": 0, "host": 0,
    }) else {
        unreachable!()
    };
    terms
}

fn receipt(host: bool, delivered: u64, key: Option<&Key>) -> Value {
    let facts = Facts {
        made: "2026-11-22T08:15:00Z".to_owned(),
        capture: json!({"name": "a.pcap", "bytes": 24, "sha256": "00"}),
        program: json!({"name": "framewalk"}),
        process: Value::Null,
    };
    make(&graph(host), &terms(delivered), &facts, key)
}

fn bad(receipt: &Value, key: &Key) -> Vec<&'static str> {
    verify(receipt, key).into_iter().filter(|check| !check.good).map(|check| check.what).collect()
}

const KEY: Key = Key::new([7; 32]);

#[test]
fn an_untouched_receipt_lacks_only_its_second_half() {
    let receipt = receipt(false, 9, Some(&KEY));
    assert_eq!(bad(&receipt, &KEY), ["completeness"]);
    let text = serde_json::to_string_pretty(&receipt).unwrap();
    let back: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bad(&back, &KEY), ["completeness"]);
}

#[test]
fn no_words_of_ours_claim_more() {
    let word = ["iso", "lated"].concat();
    for receipt in [receipt(false, 9, Some(&KEY)), receipt(true, 9, None)] {
        let said: String = verify(&receipt, &KEY).into_iter().map(|c| c.finding).collect();
        assert!(!receipt.to_string().contains(&word) && !said.contains(&word));
    }
}

#[test]
fn every_change_of_any_value_breaks_the_seal() {
    let whole = receipt(false, 9, Some(&KEY));
    let pointers = [
        "/verdict",
        "/scope",
        "/ledger/delivered",
        "/ledger/dropped/same-port",
        "/graph/nodes/0/name",
        "/graph/edges/0/to",
        "/host_edges",
        "/capture/sha256",
        "/made",
    ];
    for pointer in pointers {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = json!(77);
        assert!(bad(&changed, &KEY).contains(&"seal"), "{pointer}");
    }
    let mut more = whole.clone();
    more.as_object_mut().unwrap().insert("witness2".to_owned(), json!("x"));
    assert!(bad(&more, &KEY).contains(&"seal"));
    assert!(bad(&whole, &Key::new([8; 32])).contains(&"seal"));
    assert!(bad(&receipt(false, 9, None), &KEY).contains(&"seal"));
}

#[test]
fn what_is_wrong_under_a_good_seal_is_found_too() {
    assert_eq!(bad(&receipt(false, 8, Some(&KEY)), &KEY), ["ledger", "completeness"]);
    assert_eq!(bad(&receipt(true, 9, Some(&KEY)), &KEY), ["graph", "completeness"]);
    for junk in [json!(null), json!([]), json!({"seal": {"mac": 3}, "ledger": {"in": -1}})] {
        assert_eq!(bad(&junk, &KEY).len(), 6, "{junk}");
    }
}

#[test]
fn canonical_bytes_do_not_hang_on_order_or_space() {
    let a: Value = serde_json::from_str(r#"{"b":[1,{"y":"é\n","x":null}],"a":true}"#).unwrap();
    let b: Value =
        serde_json::from_str("{\"a\":true ,\"b\":[1,{\"x\":null,\"y\":\"é\\n\"}]}").unwrap();
    assert_eq!(canonical(&a), canonical(&b));
    assert_eq!(canonical(&a), r#"{"a":true,"b":[1,{"x":null,"y":"é\n"}]}"#.as_bytes());
}

#[test]
fn keys_are_64_digits_and_the_seal_is_standard_hmac() {
    assert_eq!(Key::from_hex(&format!(" {}\n", KEY.to_hex())).unwrap().0, [7; 32]);
    for text in ["", "07", &"0g".repeat(32), &"07".repeat(33)] {
        assert!(Key::from_hex(text).is_err());
    }
    // RFC 4231 test case 1 uses a 20-byte key; the same bytes padded with zeros to 32 are the
    // same HMAC key (RFC 2104 pads to the block size)
    let mut key = [0; 32];
    key[..20].fill(0x0b);
    let mac = Key::new(key).mac(b"Hi There").unwrap().finalize().into_bytes();
    assert_eq!(hex(&mac), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}
