"""docker/: what Ray, KubeRay and compose would refuse, and what must not be opened."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
SCHEMA = ROOT / "tests" / "reference" / "kuberay_rayjob_v1.schema.json.gz"


def pinned(*names: str) -> dict[str, str]:
    lines = [line for name in names for line in (DOCKER / name).read_text().splitlines()]
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {str(canonicalize_name(name)): version for name, version in pins.items()}


def rayjob() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DOCKER / "rayjob.yaml").read_text()))


def closed(schema: Any) -> Any:
    """Return a schema that refuses keys which it does not list: the API server drops them."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    # A property may itself be called "properties": only objects of the schema have a type.
    if "properties" in schema and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(closed(json.loads(gzip.decompress(SCHEMA.read_bytes()))))


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_images_pin_a_version_of_every_dependency_that_the_package_allows(variant: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pins = pinned("requirements.txt", f"requirements-{variant}.txt")
    for text in (*project["dependencies"], *extras["s3"], *extras["gcs"]):
        wanted = Requirement(text)
        found = pins[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(Version(found)), text


def test_the_image_for_cpus_holds_a_part_of_what_the_one_for_gpus_does() -> None:
    cpu, cuda = pinned("requirements-cpu.txt"), pinned("requirements-cuda.txt")
    assert cpu.items() < cuda.items()
    assert {"torch", "torchvision"} <= cpu.keys()


def test_kuberay_takes_the_job(validator: jsonschema.Draft7Validator) -> None:
    job = next(each for each in rayjob() if each["kind"] == "RayJob")
    assert [error.message for error in validator.iter_errors(job)] == []
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["tempalte"] = {}
    job["spec"]["rayClusterSpec"]["authOptions"]["mode"] = "none"
    assert len(list(validator.iter_errors(job))) == 2


def test_every_pod_of_the_job_is_unprivileged_and_behind_the_policy() -> None:
    documents = {each["kind"]: each for each in rayjob()}
    spec = documents["RayJob"]["spec"]
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"]["mode"] == "token"
    policy = documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for template in (spec["submitterPodTemplate"], *(group["template"] for group in groups)):
        assert policy.items() <= template["metadata"]["labels"].items()
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in template["spec"]["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] == workers["replicas"] == 0
    assert "execution.wait_for_nodes_minutes=" in spec["entrypoint"], "nobody asks for a worker"
    assert cluster["enableInTreeAutoscaling"] is True
    claim = cluster["headGroupSpec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]
    assert claim["claimName"] == documents["PersistentVolumeClaim"]["metadata"]["name"]
    assert spec["entrypoint"].split("--out ")[1].startswith("/results/")


def test_ray_up_takes_the_cluster_and_nothing_listens_outside() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((DOCKER / "ray-cluster.yaml").read_text())
    validate_config(prepare_config(json.loads(json.dumps(config))))
    assert "--env=RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert "--dashboard-host=127.0.0.1" in " ".join(config["head_start_ray_commands"])
    config["available_node_types"]["gpu"]["max_worker"] = 1
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(config))


def test_compose_publishes_the_dashboard_on_the_loopback_and_nothing_else() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {"head": ["127.0.0.1:${PORT:-8265}:8265"]}
    for service in services.values():
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["user"] == "${RUN_AS:-1000:1000}"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service.get("network_mode") in (None, "none")


def test_compose_gives_the_token_by_a_file_that_only_the_head_may_write() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        path = service["environment"]["RAY_AUTH_TOKEN_PATH"]
        (mount,) = [each for each in service["volumes"] if each.startswith("token:")]
        assert path.startswith(mount.split(":")[1])
        assert mount.endswith(":ro") == (name != "head")


def test_workers_of_compose_reach_the_results_where_checkpoints_go() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    head, worker = (set(services[name]["volumes"]) for name in ("head", "worker"))
    assert "${RESULTS:-./results}:/results" in head & worker


def test_no_service_of_compose_ends_before_the_grid() -> None:
    # `--exit-code-from grid` stops all others as soon as any one ends, whatever its exit code.
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    assert services.keys() == {"head", "worker", "grid"}
    for name in ("head", "worker"):
        assert "--block" in str(services[name]["command"])


def test_the_grid_of_compose_waits_for_workers_and_they_for_the_head() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    for name, awaited in (("grid", "worker"), ("worker", "head")):
        assert services[name]["depends_on"] == {awaited: {"condition": "service_healthy"}}
        assert services[awaited]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("path", sorted(DOCKER.iterdir()), ids=lambda path: path.name)
def test_no_file_switches_authentication_off_or_holds_a_token(path: Path) -> None:
    if path.is_dir():
        assert [each.name for each in path.iterdir() if each.name == ".gitignore"]
        return
    text = path.read_text()
    if path.name != "check.sh":  # It sees that such a client is refused.
        assert not re.search(r"AUTH_MODE[=:\s\"']*disabled", text)
    assert not re.search(r"\b[0-9a-f]{32,}\b", text)


def test_the_image_runs_as_nobody_special_and_asks_for_a_token() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    final = text[text.rindex("\nFROM ") :]
    assert "\nUSER 1000:1000\n" in final
    assert "RAY_AUTH_MODE=token" in final
    assert "RAY_USAGE_STATS_ENABLED=0" in final
    assert "--mount=type=secret" not in final
    base = re.search(r"^ARG BASE=debian:(\S+)$", text, re.MULTILINE)
    assert base
    assert re.fullmatch(r"\d+\.\d+-slim", base[1]), "pinned to a point release"


def test_check_explains_itself_and_refuses_what_it_does_not_know() -> None:
    def check(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(DOCKER / "check.sh"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    shown = check("--help")
    assert shown.returncode == 0
    assert "--variant NAME" in shown.stdout
    wrong = check("--varient", "cpu")
    assert wrong.returncode == 2
    assert "unknown argument --varient" in wrong.stderr
    assert "docker/requirements-rocm.txt" in check("--variant", "rocm").stderr
