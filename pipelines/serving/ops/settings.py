"""The settings of `ddpm serve`: one table, from which come its options, variables, file, help and documentation.

A value is looked for on the command line, in the environment (DDPM_SERVE_ and the name in capitals), in the file of
--config, and in the table. All faults are told at once, each by the name under which the value was given.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from ddpm_core.checks import Check, Checks, Config, at_least_1

PREFIX = "DDPM_SERVE_"

_seconds: Check = (lambda v: 0 < v < math.inf, "above 0 seconds")
_port: Check = (lambda v: 0 <= v <= 65535, "from 0 to 65535")
_at_least_1_if_any: Check = (lambda v: v is None or v >= 1, "at least 1")


@dataclass(frozen=True)
class Settings(Config):
    """How a service runs. docs/serving/operate.md lists the meaning of each."""

    bundle: str | None
    variant: str
    model: list[str]
    fast: str | None
    look_every: float
    most_loaded: int | None
    cache: str | None
    host: str
    port: int
    device: Literal["auto", "cpu", "cuda"]
    threads: int
    at_once: int
    batch: int
    max_cost: int | None
    model_limit: list[str]
    queue: int
    timeout: float
    keys: str | None
    allow_anonymous: bool
    trusted_proxies: list[str]
    metrics: Literal["open", "key", "off"]
    cors: list[str]
    tls_cert: str | None
    tls_key: str | None
    log_format: Literal["text", "json"]
    traces: Literal["off", "otlp"]
    head_timeout: float
    body_timeout: float
    write_timeout: float
    keep_alive: int
    stop_timeout: int
    drain: float
    connections: int

    __checks__: ClassVar[Checks] = {
        "port": _port,
        **dict.fromkeys(
            ("threads", "at_once", "batch", "queue", "connections", "keep_alive", "stop_timeout"), at_least_1
        ),
        **dict.fromkeys(("max_cost", "most_loaded"), _at_least_1_if_any),
        **dict.fromkeys(("timeout", "look_every", "head_timeout", "body_timeout", "write_timeout"), _seconds),
        "drain": (lambda v: 0 <= v < math.inf, "0 seconds or more"),
        "trusted_proxies": (lambda v: all(map(_is_address, addresses(v))), "addresses or networks of proxies"),
        "cors": (lambda v: all(_is_origin(each) for each in v), "origins such as https://example.org, or *"),
    }

    def faults(self) -> list[str]:
        return faults_together(vars(self))


@dataclass(frozen=True)
class Option:
    """A setting: its default, and what it means."""

    name: str
    default: Any
    meaning: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


OPTIONS = (
    Option("bundle", None, "a bundle that stays; by default, without a model, the one that the project just built"),
    Option(
        "variant",
        "fp32",
        "of the bundle: fp32 (the bundle itself), int8, or auto, the fastest that passed the gate; docs/variants.md",
    ),
    Option(
        "model",
        [],
        "NAME=WHERE, models that are followed: WHERE is an alias of the registered model NAME (by default champion) or "
        "a folder, written with a slash; a new bundle there is verified, tried and then served",
    ),
    Option(
        "fast",
        None,
        "a folder with a student of a model that is served: its fast mode, followed under the name fast; "
        "docs/distillation.md",
    ),
    Option("look_every", 10.0, "seconds between looks for a new one"),
    Option("most_loaded", None, "most models in memory; the least recently used one is unloaded"),
    Option("cache", None, "folder where bundles of followed models are kept; by default in the state"),
    Option("host", "127.0.0.1", "address to listen on; any but this machine's own needs keys or allow_anonymous"),
    Option("port", 8000, "port"),
    Option("device", "auto", "auto, cpu or cuda"),
    Option("threads", 1, "threads of one network evaluation"),
    Option("at_once", 1, "requests that are sampled at the same time"),
    Option(
        "batch",
        1,
        "requests whose samples share each call of the network, for a GPU, where the bits of a sample then depend on "
        "the others; 1: each has calls of its own",
    ),
    Option(
        "max_cost",
        None,
        "most network evaluations of single data that a request may ask for; by default 10,000, of series 1,000,000",
    ),
    Option("model_limit", [], "NAME:KEY=VALUE, limits of one model: cost, seconds or body_bytes"),
    Option("queue", 16, "requests that may wait; further ones get 429"),
    Option("timeout", 120.0, "seconds that a request may take"),
    Option("keys", None, "file of API keys (`ddpm keys add`); without it no key is needed"),
    Option("allow_anonymous", False, "listen beyond this machine without keys"),
    Option(
        "trusted_proxies",
        [],
        "addresses of reverse proxies, or networks such as 10.0.0.0/8, whose X-Forwarded-For tells the client",
    ),
    Option("metrics", "open", "/metrics for everyone (open), for those with a key (key), or not at all (off)"),
    Option("cors", [], "origins whose pages may call the service; by default none"),
    Option("tls_cert", None, "file of the certificate chain, in PEM; then HTTPS is spoken"),
    Option("tls_key", None, "file of its private key"),
    Option("log_format", "text", "text, or json: one object a line"),
    Option("traces", "off", "otlp: OpenTelemetry spans (extra `otel`), sent where OTEL_EXPORTER_OTLP_ENDPOINT says"),
    Option("head_timeout", 10.0, "seconds for the head of a request to arrive"),
    Option("body_timeout", 30.0, "seconds for the body of a request to arrive"),
    Option("write_timeout", 30.0, "seconds that a client may read nothing of its answer"),
    Option("keep_alive", 75, "seconds that an idle connection stays open"),
    Option("stop_timeout", 15, "seconds for running requests to end after SIGTERM"),
    Option("drain", 0.0, "seconds after SIGTERM that requests are accepted as before, while /health/ready says 503"),
    Option("connections", 256, "connections with a request in progress; others get 503, and idle ones are closed"),
)


def faults_together(value: Mapping[str, Any]) -> list[str]:
    """A line for each fault that only several settings, or the disk, can tell."""
    lines = []
    if not (is_loopback(value["host"]) or value["keys"] or value["allow_anonymous"]):
        lines.append(
            f"host: {value['host']} can be reached from other machines, so there must be API keys; give keys (a file "
            "of `ddpm keys add`), or allow_anonymous where everyone who can reach it may use it"
        )
    if (value["tls_cert"] is None) != (value["tls_key"] is None):
        lines.append("tls_cert, tls_key: must be given together")
    if value["metrics"] == "key" and value["keys"] is None:
        lines.append("metrics: key needs API keys; give keys, or take open or off")
    files = {name: value[name] for name in ("keys", "tls_cert", "tls_key") if value[name] is not None}
    missing = [name for name, path in files.items() if not Path(path).is_file()]
    lines += [f"{name}: must be a file, got {files[name]}" for name in missing]
    if {"tls_cert", "tls_key"} <= files.keys() - set(missing):
        lines += _tls_faults(files["tls_cert"], files["tls_key"])
    return lines


def _tls_faults(certificate: str, key: str) -> list[str]:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        return [
            "tls_cert, tls_key: must be a certificate chain and its private key, in PEM and without a passphrase, got "
            f"{certificate} and {key} ({error})"
        ]
    return []


def resolve(given: Mapping[str, Any], environment: Mapping[str, str], file: Mapping[str, Any], path: str) -> Settings:
    """The settings from the command line's texts, the environment and the content of a file, or all their faults."""
    from pipelines.parsing import FAULTY, Faults, parse_value, unknown_keys

    faults, hints = Faults(), get_type_hints(Settings)
    unknown_keys(file, [option.name for option in OPTIONS], "", faults)
    faults.lines = [f"{path}: {line}" for line in faults.lines]
    ours = {name: text for name, text in environment.items() if name.startswith(PREFIX)}
    unknown_keys(ours, [*(option.variable for option in OPTIONS), PREFIX + "CONFIG"], "", faults)
    values: dict[str, Any] = {}
    for option in OPTIONS:
        hint = hints[option.name]
        if given.get(option.name) is not None:
            where, value = option.flag, _from_text(hint, given[option.name])
        elif environment.get(option.variable):
            where, value = option.variable, _from_text(hint, environment[option.variable])
        elif option.name in file:
            where, value = f"{path}: {option.name}", file[option.name]
        else:
            where, value = option.name, option.default
        parsed = parse_value(hint, value, where, faults)
        holds, must = Settings.__checks__.get(option.name, (lambda v: True, ""))
        if parsed is not FAULTY and not holds(parsed):
            faults.add(where, f"must be {must}, got {parsed}")
            parsed = FAULTY
        values[option.name] = parsed
    if not any(value is FAULTY for value in values.values()):
        faults.lines += faults_together(values)
    faults.raise_if_any("settings")
    return Settings(**values)


def _from_text(hint: Any, text: Any) -> Any:
    """A text of the command line or a variable as the value that it stands for; what cannot be one stays as it is."""
    if not isinstance(text, str):  # a flag, or a list of an option that was given several times
        return text
    if hint == list[str]:
        return [each.strip() for each in text.split(",")]
    if not {int, float, bool} & {hint, *get_args(hint)}:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def as_yaml(settings: Settings) -> str:
    """The settings as a file for --config, each with its meaning."""
    parts = []
    for option in OPTIONS:
        value = getattr(settings, option.name)
        default = "" if value == option.default else f" (default: {json.dumps(option.default)})"
        parts.append(f"# {option.meaning}{default}\n{option.name}: {json.dumps(value)}\n")
    return "".join(parts)


def table() -> str:
    """The table of docs/serving/operate.md."""
    rows = [
        f"| `{option.flag}` | `{option.variable}` | {_default(option)} | {option.meaning} |\n" for option in OPTIONS
    ]
    return "| option | variable | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _default(option: Option) -> str:
    return "" if option.default in (None, []) else f"`{json.dumps(option.default)}`"


def is_loopback(host: str) -> bool:
    """Whether an address is reached by this machine alone."""
    import ipaddress

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def addresses(texts: Sequence[str]) -> list[str]:
    """The addresses in a list, whose items may be several with commas between."""
    return [each.strip() for text in texts for each in text.split(",")]


def _is_address(text: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_network(text) is not None
    except ValueError:
        return False


def _is_origin(text: str) -> bool:
    scheme, _, host = text.partition("://")
    return text == "*" or (scheme in ("http", "https") and bool(host) and not set(host) & set("/?#@ *"))
