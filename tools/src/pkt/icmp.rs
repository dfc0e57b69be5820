//! ICMP's types and codes by name (RFC 792, RFC 1122 §3.2.2, RFC 4443).

const UNREACHABLE: [&str; 16] = [
    "net_unreachable",
    "host_unreachable",
    "protocol_unreachable",
    "port_unreachable",
    "frag_needed",
    "source_route_failed",
    "net_unknown",
    "host_unknown",
    "source_host_isolated",
    "net_prohibited",
    "host_prohibited",
    "net_unreachable_for_tos",
    "host_unreachable_for_tos",
    "packet_filtered",
    "precedence_violation",
    "precedence_cutoff",
];

const TYPES_V4: [(u8, &str, &[&str]); 13] = [
    (0, "echo_reply", &[]),
    (3, "unreachable", &UNREACHABLE),
    (4, "source_quench", &[]),
    (5, "redirect", &[]),
    (8, "echo_request", &[]),
    (
        11,
        "time_exceeded",
        &["ttl_exceeded_in_transit", "frag_reass_exceeded"],
    ),
    (12, "parameter_problem", &[]),
    (13, "timestamp_request", &[]),
    (14, "timestamp_reply", &[]),
    (15, "information_request", &[]),
    (16, "information_reply", &[]),
    (17, "address_mask_request", &[]),
    (18, "address_mask_reply", &[]),
];

const UNREACHABLE_V6: [&str; 5] = [
    "no_route",
    "admin_prohibited",
    "not_neighbour",
    "address_unreachable",
    "port_unreachable",
];

const TYPES_V6: [(u8, &str, &[&str]); 6] = [
    (1, "unreachable", &UNREACHABLE_V6),
    (2, "packet_too_big", &[]),
    (
        3,
        "time_exceeded",
        &["exceeded_hop_limit", "exceeded_frag_time"],
    ),
    (
        4,
        "parameter_problem",
        &["header_field", "unknown_next_header", "unknown_option"],
    ),
    (128, "echo_request", &[]),
    (129, "echo_reply", &[]),
];

/// A type and a code by their names; `type_7` and `code_9` are numbers.
pub(super) fn numbers(v6: bool, kind: &str, code: Option<&str>) -> Result<(u8, u8), String> {
    let types: &[(u8, &str, &[&str])] = if v6 { &TYPES_V6 } else { &TYPES_V4 };
    let known = types.iter().find(|(_, name, _)| *name == kind);
    let number = |text: &str, prefix| text.strip_prefix(prefix).and_then(|n| n.parse().ok());
    let Some(kind_number) = known.map(|(n, ..)| *n).or_else(|| number(kind, "type_")) else {
        return Err(format!(
            "no ICMP type `{kind}` in IPv{}",
            if v6 { 6 } else { 4 }
        ));
    };
    let Some(code) = code else {
        return Ok((kind_number, 0));
    };
    if v6 && code == "net_unreachable" {
        return Ok((kind_number, 0));
    }
    let codes = known.map_or(&[][..], |(_, _, codes)| codes);
    let place = codes.iter().position(|name| *name == code);
    match place
        .and_then(|at| u8::try_from(at).ok())
        .or_else(|| number(code, "code_"))
    {
        Some(number) => Ok((kind_number, number)),
        None => Err(format!("no ICMP code `{code}` of type `{kind}`")),
    }
}
