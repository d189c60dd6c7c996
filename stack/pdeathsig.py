"""Runs a command that dies with the process that started it.

Run as a file: `python -I -S pdeathsig.py PARENT SIGNAL UID GID COMMAND...`. It is a program of its
own, not a `preexec_fn`, because running Python between fork and exec is unsafe with threads. The
kernel ties the death signal to the thread that forked, so that thread must live long.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
KEEP_USER = -1
MOST_FILES = 65536
"""Open files, if allowed: a web process has one for each connection, and the default of many
systems is 1,024."""


def main(arguments: list[str]) -> None:
    parent, on_parent_death, uid, gid = map(int, arguments[:4])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    if uid != KEEP_USER:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After the change of user, which would clear it.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, on_parent_death) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")
    _allow_files()
    try:
        os.execvp(arguments[4], arguments[4:])  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        sys.exit(f"{arguments[4]} can't be run: {error.strerror}")


def _allow_files() -> None:
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    if usual != resource.RLIM_INFINITY and usual < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


if __name__ == "__main__":
    main(sys.argv[1:])
