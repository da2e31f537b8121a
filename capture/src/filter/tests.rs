use super::*;

/// Ethernet, IPv4, TCP from port 1234 to 80.
#[cfg(feature = "libpcap")]
fn tcp_frame() -> Vec<u8> {
    let mut frame = vec![0; 54];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    frame[23] = 6;
    frame[34..36].copy_from_slice(&1234u16.to_be_bytes());
    frame[36..38].copy_from_slice(&80u16.to_be_bytes());
    frame
}

#[test]
#[cfg(not(feature = "libpcap"))]
fn without_libpcap_the_error_says_how_to_get_it() {
    let text = Filter::new("tcp port 80", LinkType::ETHERNET).unwrap_err().to_string();
    for part in ["tcp port 80", "apt-get install libpcap-dev", "--features libpcap"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
#[cfg(feature = "libpcap")]
fn expressions_choose_frames_by_link_type() {
    let frame = tcp_frame();
    let len = frame.len() as u32;
    let mut filter = Filter::new("tcp port 80", LinkType::ETHERNET).unwrap();
    assert!(filter.matches(LinkType::ETHERNET, len, &frame).unwrap());
    assert!(filter.matches(LinkType::RAW, len - 14, &frame[14..]).unwrap());
    assert!(filter.matches(LinkType::RAW_14, len - 14, &frame[14..]).unwrap());
    assert!(!filter.matches(LinkType::ETHERNET, len, &frame[..20]).unwrap());
    let mut udp = Filter::new("udp", LinkType::ETHERNET).unwrap();
    assert!(!udp.matches(LinkType::ETHERNET, len, &frame).unwrap());
}

#[test]
#[cfg(feature = "libpcap")]
fn a_mistake_names_the_expression_and_libpcaps_words() {
    let text = Filter::new("tcp prot 80", LinkType::ETHERNET).unwrap_err().to_string();
    assert!(text.contains("tcp prot 80") && text.contains("syntax error"), "{text}");
}

#[test]
#[cfg(feature = "libpcap")]
fn lengths_are_original_lengths_when_a_frame_was_cut() {
    let frame = tcp_frame();
    let mut filter = Filter::new("greater 1000 and tcp", LinkType::ETHERNET).unwrap();
    assert!(filter.matches(LinkType::ETHERNET, 1500, &frame).unwrap());
    assert!(!filter.matches(LinkType::ETHERNET, 54, &frame).unwrap());
}

/// Our machine and libpcap's must agree wherever both can run: on whole frames.
#[test]
#[cfg(feature = "libpcap")]
fn our_machine_agrees_with_libpcaps() {
    use super::Instruction;
    use super::bpf::run;
    let expressions = [
        "tcp port 80 or udp port 53",
        "ip6 and not tcp",
        "ip[0] & 0xf != 5 and len > 60",
        "tcp[tcpflags] & (tcp-syn|tcp-ack) != 0",
        "vlan 10 and ip",
        "less 100 and (ether[12:2] * 3 / 2 - 5 > 77 or len % 7 = 3)",
        "ip[ip[0] & 15] << 2 > 80",
        "host 10.0.0.1 and portrange 20-90",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let (mut matched, mut runs) = (0, 0);
    for expression in expressions {
        let dead = pcap::Capture::dead(pcap::Linktype(1)).unwrap();
        let program = dead.compile(expression, true).unwrap();
        let ours: Vec<_> = program
            .get_instructions()
            .iter()
            .map(|instruction| Instruction::parse(&instruction.to_string()).unwrap())
            .collect();
        for _ in 0..2000 {
            let mut frame = tcp_frame();
            for _ in 0..random() % 6 {
                let at = random() % frame.len();
                frame[at] = random() as u8;
            }
            frame.truncate(14 + random() % 60);
            let expected = program.filter(&frame);
            assert_eq!(run(&ours, frame.len() as u32, &frame), expected, "{expression} {frame:?}");
            matched += u32::from(expected);
            runs += 1;
        }
    }
    assert!(matched > 500 && matched < runs - 500, "{matched} of {runs} say nothing");
}
