import os
import stat

import pytest

from stack import folders
from stack.children import unprivileged
from stack.console import StackError
from stack.folders import MEASURED, Folder, is_reachable
from stack.record import claim


def test_folder_is_claimed_once(place):
    first = claim(place / "state")
    with pytest.raises(StackError, match="already running in this clone"):
        claim(place / "state")
    first.unlock()
    claim(place / "state").unlock()


def test_secrets_are_readable_by_their_owner_alone(folder):
    folder.write("postgres.json", {"password": "x"})
    mode = (folder.path / "postgres.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert folder.read("postgres.json") == {"password": "x"}


def test_incomplete_file_counts_as_missing(folder):
    (folder.path / "run.json").write_text('{"half": ')
    assert folder.read("run.json") is None


def test_log_of_the_run_before_is_kept(folder):
    folder.log("shop").write_text("yesterday")
    assert folder.log("shop").read_text() == ""
    assert (folder.logs / "shop.log.1").read_text() == "yesterday"


def test_temporary_folder_of_a_killed_run_is_cleared_away(place):
    old = folders.temporary(inside=place)
    (old.path / "data").mkdir()
    kept = folders.temporary(inside=place)
    assert old.path.exists()  # its run is alive
    old.unlock()  # as the kernel does when it is killed
    newest = folders.temporary(inside=place)
    assert not old.path.exists()
    assert kept.path.exists()
    for folder in (kept, newest):
        folder.unlock()


def test_data_is_inside_the_folder_where_possible(folder):
    assert folder.data("postgres") == folder.path / "postgres"


def test_data_of_a_shell_program_has_no_space_in_its_path_and_stays_there(folder):
    data = folder.data("rabbitmq", plain=True)
    assert " " not in str(data)
    assert folder.data("rabbitmq", plain=True) == data
    folder.purge()
    assert not data.exists()


@pytest.mark.parametrize("name", MEASURED)
def test_measurements_outlive_the_data(folder, name):
    report = folder.path / name / "one" / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text("{}")
    folder.data("postgres").mkdir(exist_ok=True)
    folder.write("run.json", {})
    folder.purge()
    assert [path for path in folder.path.rglob("*") if path.is_file()] == [report]


@pytest.mark.usefixtures("needs_root")
def test_data_of_another_user_lies_where_that_user_can_reach_it(place):
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    account = unprivileged()
    opened = Folder(closed / "state")
    data = opened.data("postgres", account=account)
    assert is_reachable(data.parent, account=account)
    assert data.stat().st_uid == account.uid
    opened.purge()
    assert not data.exists()


@pytest.mark.usefixtures("needs_root")
def test_remembered_data_that_was_replaced_is_not_used(folder):
    data = folder.data("rabbitmq", plain=True)
    os.chown(data, 12345, 12345)
    assert folder.data("rabbitmq", plain=True) != data
    os.chown(data, 0, 0)
    data.rmdir()


def test_socket_folder_is_private_and_short_and_lasts_for_one_run(folder):
    old = folder.sockets(account=None)
    assert stat.S_IMODE(old.stat().st_mode) == 0o700
    assert len(str(old / ".s.PGSQL.65535.lock")) < 107
    new = folder.sockets(account=None)
    assert not old.exists()  # as after a killed run, which removed nothing
    folder.remove_sockets()
    assert not new.exists()


def test_ordinary_user_needs_no_other_account(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert unprivileged() is None
    assert is_reachable(folders.STATE_FOLDER, account=None)
