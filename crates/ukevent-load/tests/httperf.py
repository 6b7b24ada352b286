#!/usr/bin/env python3
"""Reads a report of httperf from its standard input, and writes its figures as JSON. As people's scripts do
it: a regular expression for each line. It fails if one of them finds nothing, or two lines."""

import json
import re
import sys

N = r"([0-9.]+)"
LINES = [
    (rf"^Total: connections {N} requests {N} replies {N} test-duration {N} s$",
     "connections requests replies duration_s"),
    (rf"^Connection rate: {N} conn/s \({N} ms/conn, <={N} concurrent connections\)$",
     "conn_per_s ms_per_conn concurrent"),
    (rf"^Connection time \[ms\]: min {N} avg {N} max {N} median {N} stddev {N}$",
     "life_min_ms life_avg_ms life_max_ms life_median_ms life_stddev_ms"),
    (rf"^Connection time \[ms\]: connect {N}$", "connect_ms"),
    (rf"^Connection length \[replies/conn\]: {N}$", "replies_per_conn"),
    (rf"^Request rate: {N} req/s \({N} ms/req\)$", "req_per_s ms_per_req"),
    (rf"^Request size \[B\]: {N}$", "request_bytes"),
    (rf"^Reply rate \[replies/s\]: min {N} avg {N} max {N} stddev {N} \({N} samples\)$",
     "reply_rate_min reply_rate_avg reply_rate_max reply_rate_stddev reply_rate_samples"),
    (rf"^Reply time \[ms\]: response {N} transfer {N}$", "response_ms transfer_ms"),
    (rf"^Reply size \[B\]: header {N} content {N} footer {N} \(total {N}\)$",
     "head_bytes content_bytes footer_bytes reply_bytes"),
    (rf"^Reply status: 1xx={N} 2xx={N} 3xx={N} 4xx={N} 5xx={N}$",
     "status_1xx status_2xx status_3xx status_4xx status_5xx"),
    (rf"^CPU time \[s\]: user {N} system {N} \(user {N}% system {N}% total {N}%\)$",
     "user_s system_s user_percent system_percent total_percent"),
    (rf"^Net I/O: {N} KB/s \({N}\*10\^6 bps\)$", "kb_per_s mbit_per_s"),
    (rf"^Errors: total {N} client-timo {N} socket-timo {N} connrefused {N} connreset {N}$",
     "errors client_timo socket_timo connrefused connreset"),
    (rf"^Errors: fd-unavail {N} addrunavail {N} ftab-full {N} other {N}$",
     "fd_unavail addrunavail ftab_full other"),
]
# What looks for a word alone, as many scripts do, must find as many lines as httperf has of them.
WORDS = {
    "Total:": 1, "Connection rate": 1, "Connection time": 2, "Connection length": 1, "Request rate": 1,
    "Request size": 1, "Reply rate": 1, "Reply time": 1, "Reply size": 1, "Reply status": 1, "CPU time": 1,
    "Net I/O": 1, "Errors:": 2,
}

report = sys.stdin.read()
figures = {}
for pattern, names in LINES:
    found = re.findall(pattern, report, re.MULTILINE)
    if len(found) != 1:
        sys.exit(f"{len(found)} lines are like {pattern}")
    values = found[0] if isinstance(found[0], tuple) else (found[0],)
    for name, value in zip(names.split(), values, strict=True):
        figures[name] = float(value) if "." in value else int(value)
for word, count in WORDS.items():
    lines = [line for line in report.splitlines() if word in line]
    if len(lines) != count:
        sys.exit(f"{word!r} is in {len(lines)} lines, and in {count} of httperf")
json.dump(figures, sys.stdout)
