"""The image and compose.yaml, as far as they can be judged without a Docker engine: they name what is there."""

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.alive import is_alive
from infra.local import ROOT
from infra.local.ports import free_ports
from infra.local.services import programs
from infra.settings import Settings
from streams.__main__ import WORKERS

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "local" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "payments-gateway"}
PROCESSES = {name: service for name, service in OURS.items() if service.get("restart") != "no"}
OF_THE_SIMULATOR = {"SIMULATOR_BIND", "SIMULATOR_WEBHOOKS_URL"}


def instructions() -> list[list[tuple[str, str]]]:
    """Of each stage of the Dockerfile."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    stages: list[list[tuple[str, str]]] = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            if word == "FROM":
                stages.append([])
            stages[-1].append((word, rest))
    return stages


BUILD, FINAL = instructions()


def said(word: str, stage: list[tuple[str, str]]) -> list[str]:
    return [rest for name, rest in stage if name == word]


def locked(name: str) -> dict[str, list[str]]:
    """The hashes of each line of a lock file."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith("    "):
            found[next(reversed(found))].append(line.strip(" \\"))
        elif not line.startswith("#"):
            found[line.strip(" \\")] = []
    return found


def packages(name: str) -> set[str]:
    return {canonicalize_name(line.partition("==")[0]) for line in locked(name)}


def test_the_image_runs_as_nobody_special_without_what_installs_and_says_how_it_is() -> None:
    assert said("USER", FINAL) == ["10001:10001"]
    assert said("STOPSIGNAL", FINAL) == ["SIGTERM"]
    (health,) = said("HEALTHCHECK", FINAL)
    assert health.endswith('CMD ["python", "-m", "infra.alive", "http://127.0.0.1:3000/ops/liveness"]')
    assert said("CMD", FINAL) == ['["python", "-m", "api"]']
    run = " ".join(said("RUN", FINAL))
    assert "pip uninstall" in run
    assert not re.search(r"apt-get|pip install|gcc|build-essential", run)


def test_the_image_has_the_python_that_tests_run_on_and_every_package_by_its_hash() -> None:
    bases = [stage[0][1].partition(" ")[0] for stage in (BUILD, FINAL)]
    assert bases == [bases[0]] * 2
    assert re.fullmatch(r"python:3\.(\d+)-slim-\w+", bases[0])
    (install,) = said("RUN", BUILD)
    assert "--require-hashes -r /requirements.runtime.lock" in install
    assert "--only-binary :all:" in install
    assert said("COPY", BUILD) == ["requirements.runtime.lock /"]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = [shlex.split(rest)[0] for rest in said("COPY", FINAL) if not rest.startswith("--from")]
    for source in copied:
        assert (ROOT / source / "__init__.py").exists()
    assert {f"!{source}" for source in [*copied, "requirements.runtime.lock"]} == {
        line for line in ignored if line.startswith("!")
    }


def test_the_image_has_the_very_packages_that_tests_run_on() -> None:
    full, runtime = locked("requirements.lock"), locked("requirements.runtime.lock")
    assert {line: hashes for line, hashes in full.items() if line in runtime} == runtime


def test_the_image_has_what_the_service_needs_and_nothing_else() -> None:
    project = re.search(r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    assert project is not None
    waiting = [Requirement(text) for text in re.findall(r'"([^"]+)"', project[1])]
    needed: set[str] = set()
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name not in needed:
            needed.add(name)
            waiting += [
                requirement
                for requirement in map(Requirement, requires(name) or ())
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            ]
    elsewhere = {"colorama"}  # on Windows
    assert packages("requirements.runtime.lock") - elsewhere == needed


def shipped() -> Iterator[Path]:
    for folder in ("schemas", "commands", "projections", "infra", "streams", "api"):
        for path in (ROOT / folder).rglob("*.py"):
            if not path.is_relative_to(ROOT / "infra" / "local"):
                yield path


def test_what_is_shipped_imports_only_what_is_in_the_image() -> None:
    distributions = packages_distributions()
    ours = {"schemas", "commands", "projections", "infra", "streams", "api"}
    imported: set[str] = set()
    for path in shipped():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
    assert not {name for name in imported if name.startswith("infra.local")}
    outside = {name.partition(".")[0] for name in imported} - ours - sys.stdlib_module_names
    found = {canonicalize_name(package) for name in outside for package in distributions[name]}
    assert found <= packages("requirements.runtime.lock")


def test_compose_has_every_process_of_the_local_stack_and_no_other() -> None:
    assert {name: tuple(service["command"][2:]) for name, service in PROCESSES.items()} == {
        program.name: program.module for program in programs()
    }
    assert {service["command"][3] for service in OURS.values() if "streams" in service["command"]} == set(
        WORKERS
    )


def test_the_image_is_built_once_and_fetched_from_nowhere() -> None:
    (builder,) = [service for service in OURS.values() if "build" in service]
    assert (ROOT / "infra" / "local" / builder["build"]["context"] / builder["build"]["dockerfile"]).exists()
    assert {service["pull_policy"] for service in OURS.values() if service is not builder} == {"never"}


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_bound_and_told_only_what_there_is_to_tell(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    environment = {variable: str(value) for variable, value in service["environment"].items()}
    known = {field.upper() for field in Settings.__struct_fields__}
    assert environment.keys() <= (OF_THE_SIMULATOR if name == "simulator" else known)
    settings = Settings.from_environment(environment)
    if name in PROCESSES and name != "simulator":
        grace_s = int(service["stop_grace_period"].removesuffix("s"))
        assert grace_s > settings.drain_timeout_s
    assert set(service["depends_on"]) <= set(SERVICES)


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
def test_a_process_is_asked_for_its_health_where_it_listens(program: Any) -> None:
    service = SERVICES[program.name]
    listens = service["environment"].get(program.variable) or getattr(Settings(), program.variable.lower())
    assert listens.startswith("0.0.0.0:"), "others could not reach it"
    *command, url = service["healthcheck"]["test"]
    assert command == ["CMD", "python", "-m", "infra.alive"]
    path = "/control/health" if program.name == "simulator" else "/ops/liveness"
    assert url == f"http://127.0.0.1:{listens.rpartition(':')[2]}{path}"


def test_servers_are_reached_where_they_listen() -> None:
    settings = Settings.from_environment(SERVICES["api"]["environment"])
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert f"CONTAINERS://{settings.kafka_bootstrap_servers}" in advertised
    assert settings.redis_url == "redis://redis:6379/"
    postgres = SERVICES["postgres"]["environment"]
    assert settings.database_url == "postgres://{}:{}@postgres:5432/{}".format(
        *(postgres[f"POSTGRES_{part}"] for part in ("USER", "PASSWORD", "DB"))
    )


def test_the_broker_is_of_the_version_that_tests_run_on() -> None:
    pom = ElementTree.parse(ROOT / "infra" / "local" / "kafka" / "pom.xml")
    version = pom.find(".//{*}kafka.version")
    assert version is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version.text}"


def test_what_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    for source in mounted:
        if source.startswith("."):
            assert (ROOT / "infra" / "local" / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def test_nobody_answers_is_not_alive() -> None:
    assert not is_alive(f"http://127.0.0.1:{free_ports(1)[0]}/ops/liveness")
