"""A URL of a database is read as libpq reads it, or refused in one line without its login."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from participant import databases
from participant.databases import parse

SECRET = "hush"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgresql://ana:hush@one:1/shop", {"HOST": "one", "PORT": "1", "NAME": "shop"}),
        (
            "postgresql://ana:hush@one:1,two:2/shop?target_session_attrs=read-write",
            {"HOST": "one,two", "PORT": "1,2"},
        ),
        ("postgres://ana:hush%40%2F@one/shop", {"PASSWORD": "hush@/", "PORT": ""}),
        ("postgresql://[::1]:5433/shop", {"HOST": "::1", "PORT": "5433"}),
        ("postgresql:///shop?host=/run/postgresql", {"HOST": "/run/postgresql"}),
        ("postgresql://%2Frun%2Fpostgresql/shop", {"HOST": "/run/postgresql"}),
        ("postgresql://one/a%20shop", {"NAME": "a shop"}),
    ],
)
def test_url_is_read_as_libpq_reads_it(url, wanted):
    settings = parse(url=url)
    assert {name: settings[name] for name in wanted} == wanted


def test_options_of_libpq_are_passed_on():
    url = "postgresql://one,two/shop?sslmode=require&target_session_attrs=primary&connect_timeout=9"
    options = parse(url=url)["OPTIONS"]
    assert (options["sslmode"], options["target_session_attrs"]) == ("require", "primary")
    assert options["connect_timeout"] == "9"


def test_writable_host_of_several_is_used():
    several = parse(url="postgresql://one:1,two:2/shop")["OPTIONS"]
    assert several["target_session_attrs"] == "read-write"
    assert several["connect_timeout"] == databases.HOST_SECONDS
    alone = parse(url="postgresql://one/shop")["OPTIONS"]
    assert "target_session_attrs" not in alone
    assert alone["connect_timeout"] == databases.CONNECT_SECONDS


def test_options_of_the_server_are_added_to_ours_and_our_limits_stay(monkeypatch):
    monkeypatch.setattr(databases, "_SERVICE", "pagos")
    url = "postgresql://one/shop?options=-c%20search_path%3Dx%20-c%20statement_timeout%3D0"
    options = parse(url=url)["OPTIONS"]["options"]
    assert "-c enable_seqscan=off" in options
    assert "-c jit=off" in options
    assert "-c search_path=x" in options
    # The last wins.
    assert options.index("statement_timeout=0") < options.index("statement_timeout=3000")


@pytest.mark.parametrize(("text", "wanted"), [("5", 5), ("none", None), ("0", 0)])
def test_statements_are_prepared_when_it_was_asked_for(monkeypatch, text, wanted):
    monkeypatch.setenv("DUETO_PREPARE_THRESHOLD", text)
    assert parse(url="postgresql://one/shop")["OPTIONS"]["prepare_threshold"] == wanted


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://ana:hush@one/shop", "postgresql://"),
        ("hush", "postgresql://"),
        ("postgresql://ana:hush@one/", "names no database"),
        ("postgresql://ana:hush@one:http/shop", "port"),
        ("postgresql://ana:hush@one:99999/shop", "port"),
        ("postgresql://ana:hush@one,two:0/shop", "port"),
        ("postgresql://ana:x@hush@one/shop", "more than one @"),
        ("postgresql://ana:hu%zzhush@one/shop", "can't be read"),
        ("postgresql://ana:hush@[::1/shop", "can't be read"),
        ("postgresql://ana:hush@one/shop?colour=red", "'colour'"),
        ("postgresql://ana:hush@one/shop?prepare_threshold=5", "DUETO_PREPARE_THRESHOLD"),
    ],
)
def test_invalid_url_is_refused_in_one_line(url, reason):
    with pytest.raises(ImproperlyConfigured) as refused:
        parse(url=url, variable="PAGOS_DATABASE_URL")
    message = str(refused.value)
    assert "PAGOS_DATABASE_URL" in message
    assert reason in message
    assert "\n" not in message
    assert SECRET not in message


def test_threshold_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("DUETO_PREPARE_THRESHOLD", "often")
    with pytest.raises(ImproperlyConfigured, match="DUETO_PREPARE_THRESHOLD is 'often'"):
        parse(url="postgresql://one/shop")
