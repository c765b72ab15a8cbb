//! The handshake, both sides against each other and against what others may send.

use twoply_node::wire::{
    Acceptor, Asked, Connector, Flags, Found, HandshakeError, NameError, Own, Peer, Progress, Status, found,
    port_request, registered,
};

fn own(name: &str) -> Own {
    Own { name: name.to_owned(), creation: 9, flags: Flags::OFFERED, cookie: "secret".to_owned() }
}

fn connect(called: &str) -> (Connector, Vec<u8>) {
    Connector::new(own("one@host"), called, 17)
}

/// Runs both sides to the end, the acceptor answering with `status`.
fn run(mut own_there: Own, status: Status) -> Result<(Peer, Peer), HandshakeError> {
    own_there.name = "two@host".to_owned();
    let (mut connector, hello) = connect("two@host");
    let mut acceptor = Acceptor::new(own_there, 18);
    assert!(matches!(acceptor.message(&hello)?, Asked::Status { name } if name == "one@host"));
    let mut to_connector = acceptor.answer(status);
    to_connector.reverse();
    while let Some(message) = to_connector.pop() {
        let answer = match connector.message(&message)? {
            Progress::Send(answer) => answer,
            Progress::Alive => connector.alive(true),
            Progress::Wait => continue,
            other => panic!("{other:?}"),
        };
        match acceptor.message(&answer)? {
            Asked::Send(message) => to_connector.push(message),
            Asked::Done { last, peer } => {
                let Progress::Done(other) = connector.message(&last)? else { panic!("that was the last") };
                return Ok((peer, other));
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("nobody has anything to say")
}

#[test]
fn two_nodes_meet_and_agree() {
    for status in [Status::Ok, Status::OkSimultaneous, Status::Alive] {
        let flags = Flags::OFFERED - Flags::SPAWN;
        let (one, two) = run(Own { flags, ..own("") }, status).unwrap();
        assert_eq!((one.name.as_str(), one.creation), ("one@host", 9));
        assert_eq!((two.name.as_str(), two.creation), ("two@host", 9));
        assert!(one.agreed == flags && two.agreed == flags);
    }
    assert_eq!(run(own(""), Status::Nok), Err(HandshakeError::Nok));
    assert_eq!(run(own(""), Status::NotAllowed), Err(HandshakeError::NotAllowed));
}

#[test]
fn another_cookie_ends_it_on_both_sides() {
    let other = Own { cookie: "other".to_owned(), ..own("") };
    assert_eq!(run(other, Status::Ok), Err(HandshakeError::Cookie));
    let (mut connector, _) = connect("two@host");
    let mut acceptor = Acceptor::new(own("two@host"), 18);
    acceptor.message(&connect("two@host").1).unwrap();
    let messages = acceptor.answer(Status::Ok);
    connector.message(&messages[0]).unwrap();
    connector.message(&messages[1]).unwrap();
    assert_eq!(connector.message(&[b'a'; 17]), Err(HandshakeError::Cookie));
}

#[test]
fn the_digest_is_that_of_otp() {
    // erlang:md5([atom_to_list(secret) | integer_to_list(4294967295)]).
    let (mut connector, _) = connect("two@host");
    connector.message(b"sok").unwrap();
    let mut challenge = vec![b'N'];
    challenge.extend(Flags::OFFERED.bits().to_be_bytes());
    challenge.extend(u32::MAX.to_be_bytes());
    challenge.extend(2u32.to_be_bytes());
    challenge.extend([0, 8]);
    challenge.extend(b"two@host and what is ignored");
    let Progress::Send(reply) = connector.message(&challenge).unwrap() else { panic!() };
    assert_eq!(reply[..5], [b'r', 0, 0, 0, 17]);
    assert_eq!(reply[5..], DIGEST);
}

const DIGEST: [u8; 16] = [93, 253, 24, 30, 105, 170, 88, 124, 200, 18, 235, 51, 62, 101, 54, 182];

#[test]
fn nodes_of_23_and_24_begin_in_the_old_form() {
    let hello = |flags: u32| [&[b'n', 0, 5], &flags.to_be_bytes()[..], b"old@host"].concat();
    let low = Flags::OFFERED.bits() as u32;
    let high = (Flags::OFFERED.bits() >> 32) as u32;
    let finish = |high: u32| -> Result<Asked, HandshakeError> {
        let mut acceptor = Acceptor::new(own("two@host"), 18);
        assert!(matches!(acceptor.message(&hello(low))?, Asked::Status { name } if name == "old@host"));
        let challenge = acceptor.answer(Status::Ok).pop().unwrap();
        let complement = [b"c", &high.to_be_bytes()[..], &[0, 0, 0, 5]].concat();
        assert_eq!(acceptor.message(&complement)?, Asked::Wait);
        // The digest of a connector that has seen this challenge.
        let (mut connector, _) = connect("two@host");
        connector.message(b"sok")?;
        let Progress::Send(reply) = connector.message(&challenge)? else { panic!() };
        acceptor.message(&reply)
    };
    let Asked::Done { peer, .. } = finish(high).unwrap() else { panic!() };
    assert_eq!((peer.name.as_str(), peer.creation, peer.agreed), ("old@host", 5, Flags::OFFERED));
    assert_eq!(finish(0), Err(HandshakeError::Missing(Flags::V4_NC)));
    let mut acceptor = Acceptor::new(own("two@host"), 18);
    let error = acceptor.message(&hello(0)).unwrap_err();
    assert_eq!(error, HandshakeError::Missing(Flags::MANDATORY), "before 23: {error}");
}

#[test]
fn foreign_names_and_lacking_flags_are_refused() {
    let call = |name: &str, flags: Flags| {
        let caller = Own { name: name.to_owned(), flags, ..own("") };
        Acceptor::new(own("two@host"), 18).message(&Connector::new(caller, "two@host", 1).1).unwrap_err()
    };
    let name = |name: &str| match call(name, Flags::OFFERED) {
        HandshakeError::Name(why) => why,
        other => panic!("{other}"),
    };
    assert_eq!(name("nobody"), NameError::Form);
    assert_eq!(name("a@b@c"), NameError::Form);
    assert_eq!(name("@b"), NameError::Form);
    assert_eq!(name("ö@host"), NameError::NotAscii);
    assert_eq!(name("one@host.example"), NameError::LongAndShort);
    assert_eq!(name(&format!("{}@host", "x".repeat(251))), NameError::TooLong);
    let lacking = Flags::OFFERED - Flags::V4_NC - Flags::BIG_CREATION - Flags::MANDATORY_25_DIGEST;
    let error = call("one@host", lacking);
    assert_eq!(error.to_string(), "the peer lacks BIG_CREATION V4_NC");
    assert_eq!(call("host", Flags::OFFERED | Flags::NAME_ME), HandshakeError::NameMe);
    let digest = Flags::MANDATORY_25_DIGEST | Flags::V4_NC;
    let caller = Own { flags: digest, ..own("one@host") };
    let hello = Connector::new(caller, "two@host", 1).1;
    assert!(Acceptor::new(own("two@host"), 18).message(&hello).is_ok(), "the digest stands for the rest");
    let (mut connector, _) = connect("three@host");
    let mut acceptor = Acceptor::new(own("two@host"), 18);
    acceptor.message(&connect("two@host").1).unwrap();
    let messages = acceptor.answer(Status::Ok);
    connector.message(&messages[0]).unwrap();
    assert_eq!(connector.message(&messages[1]), Err(HandshakeError::OtherNode("two@host".to_owned())));
}

#[test]
fn whatever_comes_nothing_panics() {
    let mut random = fastrand::Rng::with_seed(2);
    let texts: [&[u8]; 9] = [b"sok", b"salive", b"strue", b"sfalse", b"N", b"n", b"c", b"r", b"a"];
    for _ in 0..20_000 {
        let (mut connector, hello) = connect("two@host");
        let mut acceptor = Acceptor::new(own("two@host"), 18);
        let mut message = hello;
        for _ in 0..6 {
            let at = random.usize(..message.len());
            if random.u8(..3) == 0 {
                message[at] = random.u8(..);
            }
            let _ = connector.message(&message);
            if let Ok(Asked::Status { .. }) = acceptor.message(&message) {
                acceptor.answer(random.choice([Status::Ok, Status::Alive]).unwrap());
            }
            let text = texts[random.usize(..texts.len())];
            message = [text, &(0..random.usize(..30)).map(|_| random.u8(..)).collect::<Vec<_>>()].concat();
        }
    }
}

#[test]
fn the_port_mapper_is_understood_and_its_nonsense_is_not() {
    assert_eq!(port_request("shop"), b"\0\x05\x7ashop");
    let answer = [119, 0, 17, 18, 72, 0, 0, 6, 0, 5, 0, 4, b's', b'h', b'o', b'p', 0, 0];
    assert_eq!(found(&answer), Ok(Some(Found::Port { port: 4370, highest: 6, lowest: 5 })));
    for end in 0..10 {
        assert_eq!(found(&answer[..end]), Ok(None));
    }
    assert_eq!(found(&[119, 1]), Ok(Some(Found::Unknown)));
    assert!(found(&[118]).is_err() && registered(&[119]).is_err());
    assert_eq!(registered(&[121, 0, 0, 3]), Ok(Some(3)));
    assert!(registered(&[118, 1, 0, 0, 0, 0]).is_err(), "the name is taken");
}

#[test]
fn a_name_is_taken_from_the_peer_if_it_is_one() {
    let named = |name: &str, creation: u32| {
        let (mut connector, hello) = Connector::nameless(own("host"), "two@host", 17);
        assert_eq!(&hello[9..], [&[0, 0, 0, 0, 0, 4], b"host".as_slice()].concat());
        let len = (name.len() as u16).to_be_bytes();
        let message = [b"snamed:", &len[..], name.as_bytes(), &creation.to_be_bytes()].concat();
        for len in 1..message.len() {
            let mut connector = Connector::nameless(own("host"), "two@host", 17).0;
            connector.message(&message[..len]).unwrap_err();
        }
        connector.message(&message).map(|progress| {
            assert_eq!(progress, Progress::Wait);
            let own = connector.own();
            assert!(!own.flags.contains(Flags::NAME_ME));
            (own.name.clone(), own.creation)
        })
    };
    assert_eq!(named("NX@host", 5), Ok(("NX@host".to_owned(), 5)));
    assert_eq!(named("NX@other", 5), Err(HandshakeError::Malformed));
    assert_eq!(named("NX@host", 0), Err(HandshakeError::Malformed));
    assert_eq!(named("NX", 5), Err(HandshakeError::Name(NameError::Form)));
    assert_eq!(named("N\u{e4}@host", 5), Err(HandshakeError::Name(NameError::NotAscii)));
    let status = |status: &[u8]| Connector::nameless(own("host"), "two@host", 17).0.message(status);
    assert_eq!(status(b"snot_allowed"), Err(HandshakeError::NotAllowed));
    assert_eq!(status(b"sok"), Err(HandshakeError::Malformed));
    // Who has a name takes no other one.
    let message = b"snamed:\0\x06NX@host\0\0\0\x05";
    assert_eq!(connect("two@host").0.message(message), Err(HandshakeError::Malformed));
}
