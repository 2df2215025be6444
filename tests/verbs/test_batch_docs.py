"""The files of docs/batch.md for clusters are what Ray and Kubernetes expect."""

import json
from pathlib import Path

import pytest
import yaml

PAGE = Path(__file__).parents[2] / "docs" / "batch.md"
FILES = [part.split("```")[0] for part in PAGE.read_text().split("```yaml\n")[1:]]


def test_ray_accepts_the_file_of_a_cluster():
    ray = pytest.importorskip("ray", reason="needs the batch extra")
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    cluster = yaml.safe_load(FILES[0])
    jsonschema.validate(cluster, json.loads(schema.read_text()))
    commands = " ".join(cluster["head_start_ray_commands"])
    assert "--head" in commands


def test_the_job_for_kubernetes_has_what_its_definition_requires():
    """Required fields of ray.io_rayjobs.yaml (KubeRay): of groups, and the containers."""
    job = yaml.safe_load(FILES[1])
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    assert {"rayStartParams", "template"} <= spec["headGroupSpec"].keys()
    (group,) = spec["workerGroupSpecs"]
    assert {"groupName", "maxReplicas", "minReplicas", "rayStartParams", "template"} <= group.keys()
    for each in (spec["headGroupSpec"], group):
        pod = each["template"]["spec"]
        names = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= names
