//! Messages survive the way, and those of another version are refused.

use super::*;

fn round_trip<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> String {
    let json = serde_json::to_string(value).expect("messages are JSON");
    assert_eq!(serde_json::from_str::<T>(&json).as_ref().ok(), Some(value), "{json}");
    json
}

#[test]
fn requests_survive_the_way_to_the_worker() {
    let commands = [
        Command::Open {
            bundle: Address::Url("http://127.0.0.1/bundle/".into()),
            base: Some("base/".into()),
            device: DeviceWish::Gpu,
            refresh: true,
        },
        Command::Predict {
            note: "\u{0}\"\\ \u{202e} 68F, dyspnoea \u{1fac0}".into(),
            tasks: vec!["mor".into()],
            adapters: AdapterChoice::Clinical,
            max_tokens: Some(128),
        },
        Command::Explain {
            note: "a. b.".into(),
            task: "mor".into(),
            label: 1,
            parts: Parts::Words { start: 0, end: 2 },
            adapters: AdapterChoice::All,
            max_tokens: None,
        },
        Command::CountTokens { note: String::new() },
        Command::Cancel { request: u64::MAX },
        Command::Storage,
        Command::Delete { address: None },
        Command::Requests,
    ];
    for (id, command) in (1..).zip(commands) {
        round_trip(&Request { id, command });
    }
}

#[test]
fn answers_survive_the_way_to_the_page() {
    let adapter = Adapter {
        name: "swiftshader".into(),
        is_software: true,
        has_f16: false,
        binding_bytes: 1 << 30,
        buffer_bytes: 1 << 30,
        refused_kernels: vec!["rms_norm.f32".into()],
    };
    let opened = Opened {
        manifest_sha256: "ab".into(),
        about: serde_json::json!({"tasks": [{"name": "mor"}]}),
        bytes: 3_600_000_000,
        place: Place::Gpu { adapter },
    };
    let outcome = Outcome {
        task: "los".into(),
        probabilities: vec![0.1, 0.2, 0.300_000_000_1, f64::MIN_POSITIVE],
        tokens_read: 128,
        elapsed_ms: 12.5,
    };
    let events = [
        Event::Ready { protocol: PROTOCOL },
        Event::Fetching { received_bytes: 1, total_bytes: 2, fetched_bytes: 1, retrying: 0 },
        Event::Opened(opened),
        Event::Predicted(outcome),
        Event::Explained {
            effects: vec![Effect { start: 0, end: 3, log_odds: -0.5, probability: 0.125 }],
            agreement: 0.25,
        },
        Event::Requests { asked: vec![Asked { address: "http://127.0.0.1/b/x.bin".into(), time_ms: 1.5 }] },
        Event::Failed(Failure::Cancelled),
        Event::Failed(Failure::Quota { needed_bytes: 5, available_bytes: 4 }),
        Event::Done,
    ];
    for event in events {
        round_trip(&Reply { id: 7, event });
    }
}

#[test]
fn what_a_page_leaves_out_has_a_meaning() {
    let request: Request =
        serde_json::from_str(r#"{"id":1,"command":{"do":"open","bundle":{"url":"b/"}}}"#).expect("short");
    let expected = Command::Open {
        bundle: Address::Url("b/".into()),
        base: None,
        device: DeviceWish::Automatic,
        refresh: false,
    };
    assert_eq!(request.command, expected);
    let json = round_trip(&Reply { id: 1, event: Event::Failed(Failure::Cancelled) });
    assert_eq!(json, r#"{"id":1,"event":{"is":"failed","why":"cancelled"}}"#);
}

#[test]
fn a_message_of_another_version_is_refused_not_guessed() {
    for json in ["", "{}", r#"{"id":1,"command":{"do":"fly"}}"#, r#"{"id":-1,"command":{"do":"storage"}}"#] {
        assert!(serde_json::from_str::<Request>(json).is_err(), "{json}");
    }
}
