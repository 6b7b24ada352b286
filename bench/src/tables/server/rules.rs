//! The set-ups of the servers that are rivals: each the best that its documents tell, and nothing that the others do
//! not do either.

use super::{CONNECTIONS, Extra, Tls};
use std::path::Path;

pub(super) fn nginx_rules(content: &Path, port: u16, extra: Extra<'_>) -> String {
    let status = extra.counters_port.map_or(String::new(), |port| {
        format!("server {{ listen 127.0.0.1:{port}; location / {{ stub_status; }} }}\n")
    });
    let (ssl, rules) = match extra.tls {
        None => ("", String::new()),
        Some(Tls { certificate, key, .. }) => (
            " ssl",
            format!(
                " ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
                certificate.display(),
                key.display()
            ),
        ),
    };
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log;\n\
         events {{ worker_connections {CONNECTIONS}; }}\n\
         http {{\n\
         access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;\n\
         default_type application/octet-stream;\n\
         open_file_cache max=100 inactive=600s; open_file_cache_valid 600s;\n\
         keepalive_timeout 600s; keepalive_requests 1000000000;\n\
         client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
         server {{ listen 127.0.0.1:{port}{ssl} backlog=4096;{rules} root {}; }}\n\
         {status}}}\n",
        content.display()
    )
}

/// Nothing that the others do not do either: no log of requests, no fields of policy, no looking for links and hidden files.
/// It makes as many threads as it has cores, here one; those that read files come besides.
pub(super) const STATIC_WEB_SERVER: [&str; 14] = [
    "--log-level",
    "error",
    "--threads-multiplier",
    "1",
    "--cache-control-headers",
    "false",
    "--security-headers",
    "false",
    "--disable-symlinks",
    "false",
    "--ignore-hidden-files",
    "false",
    "--text-charset",
    "false",
];

/// One thread, no log. As root it serves as root, as the others here do.
pub(super) fn h2o_rules(content: &Path, port: u16) -> String {
    let user = if rustix::process::geteuid().is_root() { "user: root\n" } else { "" };
    format!(
        "num-threads: 1\nmax-connections: {CONNECTIONS}\n{user}\
         http1-request-timeout: 600\n\
         listen:\n  host: 127.0.0.1\n  port: {port}\n\
         hosts:\n  default:\n    paths:\n      /:\n        file.dir: {}\n",
        content.display()
    )
}

/// One process, no log, sendfile, and its cache of what files are.
pub(super) fn lighttpd_rules(content: &Path, port: u16) -> String {
    format!(
        "server.document-root = \"{}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
         server.max-fds = {CONNECTIONS}\nserver.max-connections = {}\n\
         server.max-keep-alive-requests = 1000000000\nserver.max-keep-alive-idle = 600\n\
         server.max-read-idle = 600\nserver.listen-backlog = 4096\n\
         server.network-backend = \"sendfile\"\nserver.event-handler = \"linux-sysepoll\"\n\
         server.stat-cache-engine = \"simple\"\n\
         mimetype.assign = ( \"\" => \"application/octet-stream\" )\n",
        content.display(),
        CONNECTIONS / 2
    )
}
