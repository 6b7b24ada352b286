//! The manual of `ukevent watch`: what its `--help` says below the flags. No line is longer than 79
//! characters, so that none is broken on a terminal of 80.

/// Below the short help.
pub(super) const EXAMPLES: &str = "\
Examples:
  ukevent watch tree:src --exec 'cargo test' --jobs 1 --backlog 1
  ukevent watch timer:500ms signal:hup proc:1234 net
  ukevent watch --json inode:/var/spool:create | jq .path

'ukevent watch --help' says more: the kinds, JSON, commands, how it ends.";

/// Below the long help.
pub(super) const MANUAL: &str = "\
Specs:
  timer:500ms            every so often; units are ns, us, ms, s, m and h
  timer:after=10s        once
  timer:at=WHEN          once, by the wall clock: 2026-12-01T10:00:00Z, or in
                         local time 2026-12-01T10:00, or 10:00, the next one
  inode:PATH[:CHANGES]   a file, or a directory and its entries
  tree:PATH[:CHANGES]    a directory and all below it
  signal:NAMES           signals sent to this process: hup, usr1, rtmin+3, 15;
                         int is told then and ends nothing, term does both
  proc:PID[:DEEDS]       a process: exit (the usual), fork, exec, all
  net[:PARTS]            interfaces, addresses, routes: link, addr, route, all
  uevent                 devices and other kernel objects
  fd:NUMBER              a descriptor of this process that has something to
                         read; nothing is read of it
  listen:ADDRESS:PORT    TCP connections; each is accepted, told and closed

  Several names are joined by commas. A path that itself ends in a colon and
  words takes one more colon. To see a file replaced, as editors do, watch its
  directory.

Changes:
  create, remove, moved  entries of a directory; removed or moved itself
  write                  closed after it was open for writing
  modify, grow           every change of the content; that it got longer
  attrib                 mode, owner, times, links, extended attributes
  open, close, read      use without change
  usual                  create, remove, moved, write, attrib
  all                    all of these

Output:
  Time, spec, what happened, to whom, and the rest. After 'rescan' look again
  at what you watch: events were lost. After 'failed' nothing more comes of the
  spec, except of a tree, of which only a part cannot be watched.

JSON:
  Each object has time (RFC 3339, UTC), number (from 1), spec, source (the
  kind), what and name, and by source:
    timer    expirations: how many since the last event
    inode,   path, directory; cookie, the same for both ends of a move; size
    tree     if grow is watched
    signal   count; pid and uid of the last sender; code (sigaction(2))
    proc     pid; status if exited; signal and core_dumped if killed; child if
             forked; 'gone' is an end of which the kernel does not tell how
    net      index, up, carrier, mtu of a link; address, index of an address;
             destination, gateway, index, table of a route; 'link-removed' and
             the like if it went
    uevent   subsystem, properties (an object); what is the kernel's word
    fd       fd, readiness (a list), waiting (bytes)
    listen   peer, local
  and error and errno if it failed. Fields that are not known are left out. In
  text that is not UTF-8, U+FFFD replaces what is not.

Commands:
  --exec splits the command as a shell does, by blanks, quotes and backslashes,
  and expands nothing; --shell hands it to a shell. Its environment has the
  fields above as UKEVENT_WHAT, UKEVENT_PATH and so on: names are bytes as they
  are, flags 1 or 0, lists joined by commas, properties one by one as
  UKEVENT_PROPERTY_DEVNAME and so on.
  The command of a connection has it as input and output. Others have no input,
  but that of ukevent if fd:0 is watched. With --json their output goes to
  standard error. A command that fails is told, and the watch goes on.

End:
  After --count or --for, or when nothing is left that could happen, commands
  that run or wait are finished first. After Ctrl-C or SIGTERM those that run
  get SIGTERM, and SIGKILL the second time. Of the two, one that is ignored at
  the start, as in the background of a script, stays ignored.
  A summary goes to standard error. When nobody reads the output any more, it
  ends quietly.
  The exit code is 0 if it watched, 1 if something could not be watched, 2 if
  it was called wrongly.

Examples:
  ukevent watch tree:src --exec 'cargo test' --jobs 1 --backlog 1
  ukevent watch timer:500ms signal:hup proc:1234 net
  ukevent watch --json inode:/var/spool:create | jq .path
  ukevent watch listen:127.0.0.1:9000 --exec date
  ukevent watch proc:1234 && echo it has ended
  ukevent watch inode:app.conf:write --shell --exec 'kill -HUP $(cat app.pid)'";

#[cfg(test)]
mod tests {
    use super::{EXAMPLES, MANUAL};
    use crate::watch::known_words;

    #[test]
    fn fits_a_terminal() {
        for line in EXAMPLES.lines().chain(MANUAL.lines()) {
            assert!(line.chars().count() <= 79, "{line}");
        }
    }

    #[test]
    fn names_every_word() {
        for word in known_words() {
            let is_there =
                MANUAL.split(|it: char| !it.is_alphanumeric() && it != '_').any(|it| it == word);
            assert!(is_there, "{word:?} is not in the manual");
        }
    }
}
