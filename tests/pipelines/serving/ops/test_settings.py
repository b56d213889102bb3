"""The settings of the service: where a value comes from, and what is said of a faulty one."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ddpm_core.errors import ParamsError
from pipelines.serving.ops.settings import OPTIONS, Settings, as_yaml, is_loopback, resolve, table
from tests.support.imports import ROOT

DEFAULTS = {option.name: option.default for option in OPTIONS}


def resolved(given: Any = None, environment: Any = None, file: Any = None) -> Settings:
    return resolve(given or {}, environment or {}, file or {}, "serve.yaml")


def refused(*sources: Any) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        resolved(*sources)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_the_table_names_each_setting_once_with_a_default_that_is_allowed() -> None:
    assert [option.name for option in OPTIONS] == [field.name for field in fields(Settings)]
    assert asdict(resolved()) == DEFAULTS


def test_the_command_line_goes_before_the_environment_before_the_file_before_the_default() -> None:
    file, environment, given = {"port": 1}, {"DDPM_SERVE_PORT": "2"}, {"port": "3"}
    assert resolved(given, environment, file).port == 3
    assert resolved({"port": None}, environment, file).port == 2
    assert resolved({}, {"DDPM_SERVE_PORT": ""}, file).port == 1
    assert resolved().port == 8000


def test_texts_become_values_of_each_type() -> None:
    settings = resolved(
        {"timeout": "1.5", "allow_anonymous": True, "cors": ["https://a.org", "http://b.org:81"], "max_cost": "7"},
        {"DDPM_SERVE_BUNDLE": "12", "DDPM_SERVE_LOG_FORMAT": "json"},
    )
    assert (settings.timeout, settings.allow_anonymous, settings.max_cost) == (1.5, True, 7)
    assert settings.cors == ["https://a.org", "http://b.org:81"]
    assert (settings.bundle, settings.log_format) == ("12", "json")
    assert resolved({}, {"DDPM_SERVE_CORS": "https://a.org, https://b.org"}).cors == ["https://a.org", "https://b.org"]
    assert resolved({}, {"DDPM_SERVE_ALLOW_ANONYMOUS": "true"}).allow_anonymous is True
    assert resolved({}, {"DDPM_SERVE_TIMEOUT": "90"}).timeout == 90.0


def test_all_faults_are_told_at_once_by_the_names_they_were_given_under() -> None:
    lines = refused(
        {"port": "70000", "timeout": "nan"},
        {"DDPM_SERVE_THREADS": "two", "DDPM_SERVE_PRT": "1"},
        {"queue": 0, "cors": ["example.org"], "hots": "::1", "keep_alive": True},
    )
    told = {line.split(": ")[-2].removeprefix("serve.yaml: "): line.split(": ")[-1] for line in lines}
    assert told["--port"] == "must be from 0 to 65535, got 70000"
    assert "'two'" in told["DDPM_SERVE_THREADS"]
    assert "DDPM_SERVE_PORT" in told["DDPM_SERVE_PRT"]
    assert "host" in told["hots"]
    assert set(told) == {
        "--port",
        "--timeout",
        "DDPM_SERVE_THREADS",
        "DDPM_SERVE_PRT",
        "queue",
        "cors",
        "hots",
        "keep_alive",
    }
    assert sum(line.startswith("serve.yaml: ") for line in lines) == 4


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.0.1", False),
        ("localhost.example.org", False),
        ("1", False),
    ],
)
def test_only_loopback_is_listened_on_without_keys(host: str, alone: bool, tmp_path: Path) -> None:
    assert is_loopback(host) is alone
    keys = tmp_path / "keys.json"
    keys.write_text('{"format": 1, "keys": []}')
    assert resolved({}, {}, {"host": host, "keys": str(keys)}).host == host
    assert resolved({}, {}, {"host": host, "allow_anonymous": True}).host == host
    if alone:
        assert resolved({}, {}, {"host": host}).host == host
    else:
        (line,) = refused({}, {}, {"host": host})
        assert line.startswith("host: ")


@pytest.mark.parametrize(
    ("file", "where"),
    [
        ({"tls_cert": __file__}, "tls_cert, tls_key"),
        ({"tls_key": __file__}, "tls_cert, tls_key"),
        ({"keys": "/no/such/file"}, "keys"),
        ({"tls_cert": "/no/such/file", "tls_key": __file__}, "tls_cert"),
        ({"metrics": "key"}, "metrics"),
    ],
)
def test_settings_that_need_each_other_or_a_file(file: dict[str, Any], where: str) -> None:
    (line,) = refused({}, {}, file)
    assert line.startswith(f"{where}: ")


@pytest.mark.parametrize("origin", ["", "example.org", "https://", "https://a.org/", "ftp://a.org", "https://a.org/x"])
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    (line,) = refused({"cors": [origin]})
    assert line.startswith("--cors: ")
    assert resolved({"cors": ["*"]}).cors == ["*"]


def test_the_printed_file_gives_the_same_settings_and_tells_the_meaning_of_each() -> None:
    settings = resolved({"port": "81", "cors": ["https://a.org"], "bundle": "a: #b\n'"}, {"DDPM_SERVE_MAX_COST": "5"})
    text = as_yaml(settings)
    assert resolve({}, {}, YAML(typ="safe", pure=True).load(text), "x") == settings
    assert all(option.meaning in text for option in OPTIONS)


def test_the_documentation_has_the_table_as_it_is() -> None:
    assert table() in (ROOT / "docs" / "serving" / "operate.md").read_text(), "run `make docs`"


def test_a_certificate_and_a_key_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("not PEM")
    (line,) = refused({}, {}, {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")})
    assert line.startswith("tls_cert, tls_key: must be a certificate chain")


@pytest.mark.parametrize("proxies", ["*", "localhost", "10.0.0.1/8", "10.0.0.1,", "::1/200"])
def test_a_proxy_is_an_address_or_a_network(proxies: str) -> None:
    (line,) = refused({"trusted_proxies": [proxies]})
    assert line.startswith("--trusted-proxies: must be addresses or networks of proxies")
    several = resolved({}, {"DDPM_SERVE_TRUSTED_PROXIES": "10.0.0.0/8, ::1"}).trusted_proxies
    assert several == ["10.0.0.0/8", "::1"]
